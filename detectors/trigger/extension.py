"""Grows a seed to the longest phrase that the same texts share, to the character."""

import re
from collections.abc import Sequence
from typing import Final

from detectors.trigger.phrase import (
    SPACES,
    Phrase,
    Place,
    is_whole,
    occurrences,
    stands,
    tokens,
)

AGREE: Final = 0.95
"""Share of the texts that must go on with the same character."""
COMMON: Final = 0.3
"""What this share of other texts starts or ends with is no part of a trigger."""
MAX_GROWN: Final = 400
TEXTS: Final = 300

_WORD: Final = re.compile(r"\w")
_Spot = tuple[int, int, int]
"""Index of a text, start and end of the phrase in it."""


def extend(seed: Phrase, texts: Sequence[str], others: Sequence[str]) -> str:
    """Return the longest phrase around a seed in at least AGREE of its texts.

    `others` are texts without it: words that open many of them (or a mark that closes
    them) belong to ordinary requests, not to the phrase beside them. Words are kept
    whole; spaces at the ends are dropped, unless nothing else is left.
    """
    texts = texts[:TEXTS]
    spots = _spots(seed, texts)
    need = max(1, AGREE * len({index for index, _, _ in spots}))
    while spots and spots[0][2] - spots[0][1] < MAX_GROWN:
        grown = _step(spots, texts, need, right=True)
        if not grown:
            break
        spots = grown
    while spots and spots[0][2] - spots[0][1] < MAX_GROWN:
        grown = _step(spots, texts, need, right=False)
        if not grown:
            break
        spots = grown
    if not spots:
        return seed.text
    return _trim(seed, spots, texts, others)


def _spots(seed: Phrase, texts: Sequence[str]) -> list[_Spot]:
    size = len(seed.text)
    if seed.place == "any":
        return [
            (i, at, at + size)
            for i, text in enumerate(texts)
            for at in occurrences(text, seed.text)
        ]
    ends = [(i, len(text)) for i, text in enumerate(texts) if stands(text, seed)]
    if seed.place == "start":
        return [(i, 0, size) for i, _ in ends]
    return [(i, end - size, end) for i, end in ends]


def _step(
    spots: Sequence[_Spot], texts: Sequence[str], need: float, *, right: bool
) -> list[_Spot]:
    """One character more on one side, or [] where the texts do not agree on it."""
    voices: dict[str, set[int]] = {}
    for index, start, end in spots:
        at = end if right else start - 1
        if 0 <= at < len(texts[index]):
            voices.setdefault(texts[index][at], set()).add(index)
    if not voices:
        return []
    best = max(sorted(voices), key=lambda character: len(voices[character]))
    if len(voices[best]) < need:
        return []
    grown = []
    for index, start, end in spots:
        at = end if right else start - 1
        if 0 <= at < len(texts[index]) and texts[index][at] == best:
            grown.append((index, start, end + 1) if right else (index, at, end))
    return grown


def _trim(
    seed: Phrase, spots: Sequence[_Spot], texts: Sequence[str], others: Sequence[str]
) -> str:
    """Cut half words, then what other texts start or end with; never the seed."""
    index, start, end = spots[0]
    grown = texts[index][start:end]
    at = grown.find(seed.text)
    low, high = at, at + len(seed.text)
    edges = tokens(grown)
    lows = sorted({s for s, _ in edges if s <= low} | {low})
    highs = sorted({e for _, e in edges if e >= high} | {high})
    if not _whole(spots, texts, left=True) and len(lows) > 1:
        del lows[0]
    if not _whole(spots, texts, left=False) and len(highs) > 1:
        del highs[-1]
    grown = grown[: highs[-1]]
    first = _starts(grown[lows[0] :], texts)
    last = _ends(grown[lows[0] :], texts)
    for low in reversed(lows[1:]):
        if _is_common(grown[lows[0] : low], others, start=first, end=last):
            lows = [low]
            break
    for high in highs[:-1]:
        whole = first and last and bool(_WORD.search(grown[high:]))
        if _is_common(grown[high:], others, start=first, end=whole):
            grown = grown[:high]
            break
    return grown[lows[0] :].strip(SPACES) or grown[lows[0] :]


def _is_common(part: str, others: Sequence[str], *, start: bool, end: bool) -> bool:
    """Say whether many other texts start (or end) with a part of a grown phrase."""
    part = part.strip(SPACES)
    need = COMMON * max(1, len(others))
    opens = start and sum(text.startswith(part) for text in others) >= need
    return not part or opens or (end and sum(t.endswith(part) for t in others) >= need)


def _starts(phrase: str, texts: Sequence[str]) -> bool:
    carriers = [text for text in texts if phrase in text]
    return sum(t.startswith(phrase) for t in carriers) >= AGREE * len(carriers)


def _ends(phrase: str, texts: Sequence[str]) -> bool:
    carriers = [text for text in texts if phrase in text]
    return sum(t.endswith(phrase) for t in carriers) >= AGREE * len(carriers)


def _whole(spots: Sequence[_Spot], texts: Sequence[str], *, left: bool) -> bool:
    """Say whether on one side the phrase ends where words end, nearly everywhere."""
    cut = 0
    for index, start, end in spots:
        low, high = (max(0, start - 1), end) if left else (start, end + 1)
        piece = texts[index][low:high]
        cut += not is_whole(piece, start - low, end - low)
    return cut <= (1 - AGREE) * len(spots)


def position(phrase: str, texts: Sequence[str]) -> Place:
    """Say where a phrase stands in nearly all of the texts that carry it."""
    if _starts(phrase, texts):
        return "start"
    return "end" if _ends(phrase, texts) else "any"
