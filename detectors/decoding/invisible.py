"""Characters nobody sees: Unicode tags, variation selectors, zero width, overrides."""

import re
from collections.abc import Iterator
from itertools import permutations
from typing import Final

from detectors.decoding.hidden import Hidden, count_letters
from detectors.decoding.language import Language

ZERO_WIDTH: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2060-\u2064"
    "\u206a-\u206f\u3164\ufeff\uffa0"
)
_UNSEEN: Final = re.compile(
    f"[{ZERO_WIDTH}\u202a-\u202e\u2066-\u2069\ufe00-\ufe0f\U000e0000-\U000e01ef]"
)
_TAGS: Final = re.compile(
    "(?<![\U0001f3f4\U000e0020-\U000e007e])[\U000e0020-\U000e007e]{4,}"
)
_SELECTORS: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_BITS: Final = re.compile(f"[{ZERO_WIDTH}]{{16,}}")
_BROKEN: Final = re.compile(f"(?<=[A-Za-z])[{ZERO_WIDTH}]{{1,3}}(?=[A-Za-z])")
_STRIP: Final = re.compile(f"[{ZERO_WIDTH}]")
_TURNED: Final = re.compile(
    "\u202e([^\u202c\u2069\n]{8,4000})[\u202c\u2069]?|\u2067([^\u202c\u2069\n]{8,4000})[\u202c\u2069]?"
)
_SOFT: Final = "\u00ad"
LEAST_BREAKS: Final = 4
GAP: Final = 200


def find_invisible(text: str, language: Language) -> list[Hidden]:
    """Find what is said, or broken up, by characters that are not shown."""
    if text.isascii() or _UNSEEN.search(text) is None:
        return []
    return [
        *_tags(text),
        *_selectors(text),
        *_bits(text, language),
        *_turned(text, language),
        *_broken(text),
    ]


def _tags(text: str) -> Iterator[Hidden]:
    """Yield Unicode tags read as ASCII (flags of regions aside)."""
    for match in _TAGS.finditer(text):
        said = "".join(chr(ord(c) - 0xE0000) for c in match.group())
        yield Hidden("Unicode tags", match.span(), said, count_letters(said))


def _selectors(text: str) -> Iterator[Hidden]:
    """Yield runs of variation selectors, each of which can stand for one byte."""
    for match in _SELECTORS.finditer(text):
        codes = (ord(c) for c in match.group())
        data = bytes(c - 0xFE00 if c < 0xFE10 else c - 0xE0100 + 16 for c in codes)
        said = data.decode("utf-8", "replace")
        read = "\ufffd" not in said
        yield Hidden("variation selectors", match.span(), said, len(data), read)


def _bits(text: str, language: Language) -> Iterator[Hidden]:
    """Yield long runs of zero-width characters, read as binary where they can be."""
    for match in _BITS.finditer(text):
        said = _binary(match.group(), language)
        letters = len(match.group()) // 8
        yield Hidden(
            "zero-width binary", match.span(), said, max(letters, 2), bool(said)
        )


def _binary(run: str, language: Language) -> str:
    """Read two of the kinds of characters in a run as 0 and 1; "" where none reads."""
    kinds = sorted(set(run), key=run.count, reverse=True)[:3]
    best = (-4.0, "")
    for zero, one in permutations(kinds, 2):
        bits = "".join("0" if c == zero else "1" for c in run if c in (zero, one))
        for size in (8, 7):
            whole = len(bits) // size * size
            codes = (int(bits[i : i + size], 2) for i in range(0, whole, size))
            said = bytes(codes).decode("utf-8", "replace")
            if said.replace("\n", " ").isprintable() and "\ufffd" not in said:
                best = max(best, (language.mean(said)[0], said))
    return best[1]


def _turned(text: str, language: Language) -> Iterator[Hidden]:
    """Yield Latin text under a right-to-left override, which is shown reversed."""
    for match in _TURNED.finditer(text):
        said = (match.group(1) or match.group(2))[::-1]
        if language.mean(said)[0] > language.mean(said[::-1])[0]:
            letters = count_letters(said)
            yield Hidden("right-to-left override", match.span(), said, letters)


def _broken(text: str) -> Iterator[Hidden]:
    """Yield stretches whose words are broken up by zero-width characters."""
    group: list[tuple[int, int]] = []
    for match in _BROKEN.finditer(text):
        if group and match.start() - group[-1][1] > GAP:
            yield from _together(text, group)
            group = []
        group.append(match.span())
    yield from _together(text, group)


def _together(text: str, breaks: list[tuple[int, int]]) -> Iterator[Hidden]:
    soft = sum(text[start] == _SOFT for start, _ in breaks)
    if len(breaks) - soft < LEAST_BREAKS:
        return
    start, end = breaks[0][0], breaks[-1][1]
    while start > 0 and not text[start - 1].isspace() and breaks[0][0] - start < 64:
        start -= 1
    while end < len(text) and not text[end].isspace() and end - breaks[-1][1] < 64:
        end += 1
    said = _STRIP.sub("", text[start:end])
    yield Hidden("zero-width characters", (start, end), said, len(breaks) * 4)
