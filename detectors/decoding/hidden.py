"""Hidden: a stretch of a message that does not say openly what it says."""

from dataclasses import dataclass
from typing import Final

MOST_FOUND: Final = 300
"""Findings kept of one text: they are compared with each other."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """What one kind of decoding found in one text.

    `span` is (start, end) in characters of that text; `text` what stands there once
    decoded, or, where `readable` is False, the stretch as it could not be read.
    `letters` is its count of letters as a measure of how much is hidden. `whole` is
    False where the text of the span reads as something of its own besides, as verse
    does whose line ends carry the message.
    """

    kind: str
    span: tuple[int, int]
    text: str
    letters: int
    readable: bool = True
    whole: bool = True


def count_letters(text: str) -> int:
    """Count the letters of any script in a text."""
    return sum(map(str.isalpha, text))


def without_overlaps(found: list[Hidden]) -> list[Hidden]:
    """Keep, of findings that overlap, the readable and then the longest; in order."""
    kept: list[Hidden] = []
    order = sorted(found, key=lambda h: (not h.readable, -h.letters, h.span, h.kind))
    del order[MOST_FOUND:]
    for hidden in order:
        start, end = hidden.span
        if all(end <= k.span[0] or start >= k.span[1] for k in kept):
            kept.append(hidden)
    return sorted(kept, key=lambda h: h.span)
