"""Hidden: a stretch of a message that does not say openly what it says."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

MOST_FOUND: Final = 300
"""Findings kept of one text: they are compared with each other."""
MORE: Final = "more hidden texts than are read"
"""The kind of a stretch that was not looked at, for the many before it."""


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
    """Keep, of findings that overlap, the readable and then the longest; in order.

    Where some are left out for their number, the first of them is kept as MORE.
    """
    kept: list[Hidden] = []
    order = sorted(found, key=lambda h: (not h.readable, -h.letters, h.span, h.kind))
    for hidden in order[:MOST_FOUND]:
        if _is_apart(hidden, kept):
            kept.append(hidden)
    left = (hidden for hidden in order[MOST_FOUND:] if _is_apart(hidden, kept))
    kept += [unread(hidden) for hidden in islice(left, 1)]
    return sorted(kept, key=lambda h: h.span)


def unread(hidden: Hidden) -> Hidden:
    """Return a finding as one that was not looked at."""
    return replace(hidden, kind=MORE, text="", readable=False)


def _is_apart(hidden: Hidden, others: Iterable[Hidden]) -> bool:
    start, end = hidden.span
    return all(end <= k.span[0] or start >= k.span[1] for k in others)
