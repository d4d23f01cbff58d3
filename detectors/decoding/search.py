"""Search: every kind of decoding over many texts, the costly kinds where it pays."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from detectors.decoding.byteblock import (
    find_dense_blocks,
    find_number_blocks,
    find_run_blocks,
    find_signed_blocks,
)
from detectors.decoding.confusable import find_confusables
from detectors.decoding.hidden import Hidden, without_overlaps
from detectors.decoding.invisible import find_invisible
from detectors.decoding.language import Language, Survey
from detectors.decoding.leet import find_leet
from detectors.decoding.morse import find_braille, find_morse
from detectors.decoding.piglatin import find_pig_latin
from detectors.decoding.reading_order import (
    find_acrostic,
    find_backward_words,
    find_line_ends,
)
from detectors.decoding.rot47 import find_rot47
from detectors.decoding.separated import find_numbered, find_separated
from detectors.decoding.shift import find_shifted
from detectors.decoding.spelling import find_spelt
from detectors.decoding.unreadable import find_unreadable, windows_by_text

Find = Callable[[str, Language], list[Hidden]]
ODD: Final = -3.0
"""A text without a window under this is not tried under ciphers of its letters."""
LONGEST: Final = 400_000
"""Characters of one part; a longer message is searched in parts."""
OVERLAP: Final = 4_000
"""Parts end at a space in their last characters, else they share these."""
_FOREIGN: Final[tuple[Find, ...]] = (find_confusables, find_invisible, find_braille)
_ALWAYS: Final[tuple[Find, ...]] = (
    find_backward_words,
    find_line_ends,
    find_acrostic,
    find_signed_blocks,
    find_dense_blocks,
    find_rot47,
    find_spelt,
)


def search(texts: Sequence[str], language: Language) -> list[list[Hidden]]:
    """Find what each text hides, in order and without overlaps."""
    spans = [list(_parts(text)) for text in texts]
    parts = zip(texts, spans, strict=True)
    said = iter(_search([t[a:b] for t, each in parts for a, b in each], language))
    return [_joined(each, [next(said) for _ in each]) for each in spans]


def _parts(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of the parts of a text, which cover it."""
    start = 0
    while len(text) - start > LONGEST:
        end = start + LONGEST
        space = next((n for n in range(OVERLAP) if text[end - 1 - n].isspace()), None)
        yield start, end if space is None else end - space
        start = end - (OVERLAP if space is None else space)
    yield start, len(text)


def _joined(
    spans: Sequence[tuple[int, int]], found: Sequence[list[Hidden]]
) -> list[Hidden]:
    """Put what was found in the parts of a text where it stands in the whole."""
    if len(found) == 1:
        return found[0]
    moved = [
        replace(hidden, span=(hidden.span[0] + start, hidden.span[1] + start))
        for (start, _), each in zip(spans, found, strict=True)
        for hidden in each
    ]
    return without_overlaps(moved)


def _search(texts: Sequence[str], language: Language) -> list[list[Hidden]]:
    survey = language.survey(texts)
    odd = survey.windows.where(survey.windows.means < ODD)
    of_text = windows_by_text(odd, len(texts))
    found = []
    for index, text in enumerate(texts):
        kinds = _kinds(text, survey, index)
        each = [hidden for find in kinds for hidden in find(text, language)]
        if of_text[index]:
            each += find_shifted(text, language)
            each += find_unreadable(text, of_text[index], language)
        found.append(without_overlaps(each) if each else each)
    return found


def _kinds(text: str, survey: Survey, index: int) -> Iterator[Find]:
    """Yield the kinds of which a text shows a sign that costs next to nothing."""
    yield from _ALWAYS
    digits = survey.digits[index]
    if digits >= 5:
        yield find_leet
    if digits >= 12:
        yield find_numbered
        yield find_number_blocks
    if survey.longest[index] >= 16:
        yield find_run_blocks
    if survey.singles[index] >= 12:
        yield find_separated
    if text.count("-") + text.count(".") + text.count("_") >= 12 or "\u00b7" in text:
        yield find_morse
    if text.count("ay") + text.count("AY") >= 6:
        yield find_pig_latin
    if not text.isascii():
        yield from _FOREIGN
