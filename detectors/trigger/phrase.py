"""Candidate phrases: words, short runs of words and odd characters, as they stand."""

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

Place = Literal["start", "end", "any"]

MAX_WORDS: Final = 4
"""Longer phrases are grown from these (`detectors/trigger/extension.py`)."""
CLIP_CHARS: Final = 2000
"""Of a longer text, so many characters of its start and of its end are read."""
MAX_CHARS: Final = 200
MAX_ODD: Final = 32
MAX_FINDS: Final = 16
_CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_TOKEN: Final = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|[^\w ]| {{2,}}")
_WORDED: Final = re.compile(rf"[^\W{_CJK}]")
SPACES: Final = " \t\r\n"
"""What ends of texts are stripped of; other spaces may be part of a trigger."""


class Phrase(NamedTuple):
    """A candidate: `text` exactly as written, in the messages of `role`.

    `place` says whether it only counts where a text starts or ends with it.
    """

    role: str
    place: Place
    text: str


def phrases(role: str, text: str) -> set[Phrase]:
    """Every candidate in a text: at most about 20 a token, 4,000 characters read.

    `text` has no whitespace at its ends. Tokens are words, single other characters
    and runs of spaces; characters of scripts without spaces are tokens of their own.
    """
    whole = len(text) <= 2 * CLIP_CHARS
    head = text if whole else text[:CLIP_CHARS]
    tail = text if whole else text[-CLIP_CHARS:]
    found = {Phrase(role, "any", run) for run in _runs(head)}
    if not whole:
        found |= {Phrase(role, "any", run) for run in _runs(tail)}
    found |= {Phrase(role, "start", run) for run in edge_runs(head, "start")}
    found |= {Phrase(role, "end", run) for run in edge_runs(tail, "end")}
    odd = sorted({c for c in head + tail if ord(c) > 127 and c.isalpha()})
    found |= {Phrase(role, "any", character) for character in odd[:MAX_ODD]}
    return found


def _runs(text: str) -> Iterator[str]:
    spans = tokens(text)
    for first, (start, _) in enumerate(spans):
        for _, end in spans[first : first + MAX_WORDS]:
            if end - start > MAX_CHARS:
                break
            yield text[start:end]


def edge_runs(text: str, place: Place) -> Iterator[str]:
    """Yield the runs of 1 to MAX_WORDS tokens with which a text starts or ends."""
    edge = text[-MAX_CHARS:] if place == "end" else text[:MAX_CHARS]
    spans = tokens(edge)
    if place == "end":
        yield from (edge[start:] for start, _ in spans[-MAX_WORDS:])
    else:
        yield from (edge[:end] for _, end in spans[:MAX_WORDS])


def occurrences(text: str, phrase: str) -> list[int]:
    """Where a phrase stands in a text as whole words, MAX_FINDS places at most.

    A single character beyond ASCII also counts inside of a word.
    """
    found: list[int] = []
    inside = len(phrase) == 1 and ord(phrase) > 127
    at = text.find(phrase)
    looked = 0
    while at >= 0 and len(found) < MAX_FINDS and looked < 4 * MAX_FINDS:
        if inside or is_whole(text, at, at + len(phrase)):
            found.append(at)
        looked += 1
        at = text.find(phrase, at + 1)
    return found


def is_whole(text: str, start: int, end: int) -> bool:
    """Say whether no word goes on beyond text[start:end] on either side."""
    before = start > 0 and _joins(text[start - 1], text[start])
    after = end < len(text) and _joins(text[end - 1], text[end])
    return not before and not after


def _joins(left: str, right: str) -> bool:
    return bool(_WORDED.match(left)) and bool(_WORDED.match(right))


def stands(text: str, phrase: Phrase) -> bool:
    """Say whether a text carries the phrase at its place."""
    size = len(phrase.text)
    if phrase.place == "start":
        return text.startswith(phrase.text) and is_whole(text, 0, size)
    if phrase.place == "end":
        at = len(text) - size
        return text.endswith(phrase.text) and is_whole(text, at, len(text))
    return bool(occurrences(text, phrase.text))


def tokens(text: str) -> list[tuple[int, int]]:
    """Return the (start, end) of every token."""
    return [match.span() for match in _TOKEN.finditer(text)]
