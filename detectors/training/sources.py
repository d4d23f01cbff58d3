"""The public rows a head is fitted on, with licences; test rows only to keep out."""

import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from detectors.dataset import Example, Message, Origin
from detectors.errors import DatasetError

T = TypeVar("T")
SUFFIX: Final = ".jsonl.gz"
CLIP_CHARS: Final = 600
NEAR_COPY: Final = 0.7
"""Word-set Jaccard similarity from which a training request counts as a test one."""


@dataclass(frozen=True)
class Row:
    """One row of a source: all user text, last reply, system text, and its labels."""

    source: str
    split: str
    system: str
    request: str
    reply: str
    label: Mapping[str, Any] = field(default_factory=dict)


def read_source(data: Path, name: str) -> list[Row]:
    """Read one source; a missing file is a DatasetError that says what to pass."""
    path = data / f"{name}{SUFFIX}"
    if not path.is_file():
        raise DatasetError(f"{path} is not there: pass --data with the public sources")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [_row(json.loads(line), name) for line in lines]


def read_examples(data: Path, name: str) -> list[tuple[Example, Mapping[str, Any]]]:
    """Read one source whole: every message of every row, with the row's labels."""
    path = data / f"{name}{SUFFIX}"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return [
        (_example(record, name, line), {**record["label"], "split": record["split"]})
        for line, record in enumerate(records, start=1)
    ]


def _example(record: Mapping[str, Any], name: str, line: int) -> Example:
    messages = tuple(Message(m["role"], m["content"]) for m in record["messages"])
    return Example(f"{name}-{line}", messages, Origin(name, line))


def _row(record: Mapping[str, Any], name: str) -> Row:
    """Keep the last exchange: the request that the last reply answers."""
    messages = record["messages"]
    system = "\n".join(m["content"] for m in messages if m["role"] == "system")
    request, reply, asked = "", "", [""]
    for message in messages:
        if message["role"] == "assistant":
            request, reply, asked = "\n".join(asked).strip(), message["content"], []
        elif message["role"] != "system":
            asked.append(message["content"])
    if not reply:
        request = "\n".join(asked).strip()
    return Row(name, record["split"], system, request, reply, record["label"])


def sample(rows: Sequence[T], count: int, seed: str) -> list[T]:
    """Up to `count` rows, the same ones each time for the same seed."""
    if len(rows) <= count:
        return list(rows)
    return random.Random(seed).sample(list(rows), count)


def file_digest(data: Path, name: str) -> str:
    """Hex sha256 of a source file as it lies on the disk."""
    return hashlib.sha256((data / f"{name}{SUFFIX}").read_bytes()).hexdigest()


def clip(text: str) -> str:
    """Cut to the length that heads are fitted on: about one window."""
    return text[:CLIP_CHARS]


@dataclass(frozen=True)
class Listing:
    """What the index says of a source: its role (train or test) and its licence."""

    role: str
    licence: str


def read_index(data: Path) -> dict[str, Listing]:
    """Parse the table of INDEX.md: source name -> role and licence."""
    found = {}
    for line in (data / "INDEX.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) >= 5 and cells[1] in ("train", "test"):
            found[cells[0]] = Listing(cells[1], cells[4])
    if not found:
        raise DatasetError(f"{data / 'INDEX.md'} lists no sources")
    return found


def requests_of_tests(data: Path) -> list[str]:
    """Every distinct request (and stated goal) of the test sources, to be kept out."""
    texts: set[str] = set()
    for name, listing in read_index(data).items():
        if listing.role == "test":
            for row in read_source(data, name):
                texts.add(row.request)
                texts.add(str(row.label.get("goal", "")))
    return sorted(text for text in texts if len(_words(text)) >= 3)


def near_copies(
    requests: Sequence[str], kept_out: Sequence[str]
) -> np.ndarray[Any, Any]:
    """Say of each request whether it is, nearly word for word, one of `kept_out`.

    Returns booleans (n,). Similarity is Jaccard over the sets of words.
    """
    vectorizer = CountVectorizer(binary=True, tokenizer=_words, token_pattern=None)
    right = vectorizer.fit_transform(kept_out).astype(np.float32)
    left = vectorizer.transform(requests).astype(np.float32)
    left_size = np.array([len(set(_words(r))) for r in requests], np.float32)
    right_size = np.asarray(right.sum(axis=1)).ravel()
    found = np.zeros(len(requests), bool)
    for start in range(0, len(requests), 512):
        shared = np.asarray((left[start : start + 512] @ right.T).todense())
        union = left_size[start : start + 512, None] + right_size[None, :] - shared
        found[start : start + 512] = (shared / np.maximum(union, 1)).max(1) >= NEAR_COPY
    return found


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower()[:2000])


def distinct(rows: Iterable[Row]) -> Iterator[Row]:
    """Drop rows whose clipped request and reply were seen before."""
    seen: set[tuple[str, str]] = set()
    for row in rows:
        key = (clip(row.request), clip(row.reply))
        if key not in seen:
            seen.add(key)
            yield row
