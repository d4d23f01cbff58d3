"""Leetspeak: digits and signs in the place of letters."""

import re
from typing import Final

from detectors.decoding.hidden import Hidden, count_letters
from detectors.decoding.language import Language

LEET: Final = str.maketrans("0134567892@$!+€£|(", "oieasgtbgzasiteilc")
_ELL: Final = str.maketrans("1|!", "lll")
_WORD: Final = re.compile(
    r"(?<![\w/=&?#.$@-])(?=[A-Za-z]*[0134578@$!])[A-Za-z0134578@$!]{2,20}(?![\w/=@(\[])"
)
_MIXED: Final = re.compile(
    r"[A-Za-z][0134578@$!]+[A-Za-z]|^[01345780@][A-Za-z]{2}|^[0134578@$][A-Za-z][0134578@$]"
)
"""A sign inside a word, or in its beginning: variables have theirs at the end."""
LEAST_WORDS: Final = 5
LEAST_DIFFERENT: Final = 4
GAP: Final = 60
READ: Final = -2.85


def find_leet(text: str, language: Language) -> list[Hidden]:
    """Stretches of words, many of them with digits in them, that read as sentences."""
    group: list[tuple[int, int]] = []
    found: list[Hidden] = []
    for match in _WORD.finditer(text):
        if not _MIXED.search(match.group()):
            continue
        if group and match.start() - group[-1][1] > GAP:
            found += _finding(text, group, language)
            group = []
        group.append(match.span())
    return found + _finding(text, group, language)


def _finding(
    text: str, words: list[tuple[int, int]], language: Language
) -> list[Hidden]:
    if len(words) < LEAST_WORDS:
        return []
    start, end = words[0][0], words[-1][1]
    shown = text[start:end]
    said = " ".join(_plain(word, language) for word in shown.split(" "))
    mean, _ = language.mean(said)
    # Part numbers and variables have digits too, but do not read as words.
    disguised = [_plain(text[a:b], language) for a, b in words]
    words_mean, count = language.mean(" ".join(disguised))
    share = len(words) / max(1, len(shown.split()))
    different = {word.lower() for word in disguised if len(word) > 2}
    if len(different) < LEAST_DIFFERENT:
        return []
    if mean < READ or words_mean < READ or count < 12 or share < 0.25:
        return []
    return [Hidden("leetspeak", (start, end), said, count_letters("".join(disguised)))]


def _plain(word: str, language: Language) -> str:
    if word.isalpha() or (not any(map(str.isalpha, word)) and len(word) > 3):
        return word
    first = word.translate(LEET)
    if "1" not in word and "!" not in word and "|" not in word:
        return first
    other = word.translate(_ELL).translate(LEET)
    return max((first, other), key=lambda w: language.mean(w)[0])
