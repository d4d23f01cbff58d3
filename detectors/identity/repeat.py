"""Texts that stand in many rows: sentences, openings and closings of messages."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from detectors.identity.sentence import Sentence
from detectors.sentences import words

LEAST_ROWS: Final = 3
LEAST_WORDS: Final = 2
EDGE_WORDS: Final = 5
"""Words by which the opening (or closing) sentences of messages are grouped."""
MOST: Final = 2000
"""Repeated texts that are judged, those of most rows first."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A text that `rows` (indices, ascending) share in messages of `role`.

    `where` is "sentence", "opening" or "closing"; `text` is what they share, as the
    first of them writes it.
    """

    where: str
    role: str
    text: str
    rows: tuple[int, ...]


Key = tuple[str, str, tuple[str, ...]]
Sentences = Callable[[], Iterable[Sentence]]


def repeats(read: Sentences, least: int = LEAST_ROWS) -> list[Repeat]:
    """Find what `least` rows or more share, each set of rows under its longest text.

    `read` yields the sentences of all rows and is called twice, so that a large file
    is counted without keeping its text. Case and punctuation make no difference.
    """
    counts: Counter[bytes] = Counter()
    for _, rows in _by_row(read()):
        counts.update(rows)
    often = {digest for digest, count in counts.items() if count >= least}
    found: dict[Key, list[Sentence]] = defaultdict(list)
    for sentence in read():
        for key in _keys(sentence):
            if _digest(key) in often:
                found[key].append(sentence)
    return _longest(_repeat(key, said) for key, said in found.items())


def _by_row(said: Iterable[Sentence]) -> Iterator[tuple[int, set[bytes]]]:
    """Yield each row with the digests of its keys, each once; rows must be in order."""
    row, keys = -1, set[bytes]()
    for sentence in said:
        if sentence.row != row:
            if keys:
                yield row, keys
            row, keys = sentence.row, set()
        keys.update(_digest(key) for key in _keys(sentence))
    if keys:
        yield row, keys


def _keys(sentence: Sentence) -> Iterator[Key]:
    said = words(sentence.text)
    if len(said) >= LEAST_WORDS:
        yield ("sentence", sentence.role, said)
    if len(said) > EDGE_WORDS:
        if sentence.first:
            yield ("opening", sentence.role, said[:EDGE_WORDS])
        if sentence.last:
            yield ("closing", sentence.role, said[-EDGE_WORDS:])


def _digest(key: Key) -> bytes:
    return blake2b(repr(key).encode("utf-8", "replace"), digest_size=8).digest()


def _repeat(key: Key, said: Sequence[Sentence]) -> Repeat:
    where, role, _ = key
    rows = tuple(sorted({sentence.row for sentence in said}))
    return Repeat(where, role, _shared(where, [s.text for s in said]), rows)


def _shared(where: str, texts: Sequence[str]) -> str:
    """Return what all texts begin (or end) with, word for word."""
    first = texts[0].split()
    if where == "sentence":
        return " ".join(first)
    split = [words(text) for text in texts]
    if where == "closing":
        split = [each[::-1] for each in split]
    shortest = min(len(each) for each in split)
    same = 0
    while same < shortest and len({each[same] for each in split}) == 1:
        same += 1
    return " ".join(first[:same] if where == "opening" else first[-same:])


def _longest(found: Iterable[Repeat]) -> list[Repeat]:
    """Keep one text for a set of rows, the longest; the largest sets first."""
    best: dict[tuple[str, tuple[int, ...]], Repeat] = {}
    for each in found:
        place = (each.role, each.rows)
        kept = best.get(place)
        if each.where == "sentence":
            # Different sentences of the same rows are different things to judge.
            best[(f"{each.role} {each.text}", each.rows)] = each
        elif kept is None or len(each.text) > len(kept.text):
            best[place] = each
    ordered = sorted(best.values(), key=lambda r: (-len(r.rows), r.where, r.text))
    return ordered[:MOST]
