"""Letters set apart by signs or spaces, and letters given as their numbers."""

import re
from collections import Counter
from typing import Final

from detectors.decoding.alphabet import letters_in
from detectors.decoding.hidden import Hidden, count_letters, unread
from detectors.decoding.language import Language
from detectors.decoding.morse import JOINED
from detectors.decoding.shift import find_shifted

_SINGLES: Final = re.compile(r"(?<![^\W_])[^\W_](?:[\W_]{1,9}[^\W_](?![^\W_])){11,}")
_NUMBERS: Final = re.compile(r"(?<![\w.])\d{1,2}(?:[ ,./|_-]{1,3}\d{1,2}(?!\d)){11,}+")
LEAST_LETTERS: Final = 12
CIPHER_LETTERS: Final = 40
CIPHER_KINDS: Final = 11
CIPHER_COINCIDENCE: Final = 0.05
"""Two letters of a language, or of its cipher, agree more often than this."""
UNREAD: Final = "separated letters"
MOST_FOUND: Final = 100


def find_separated(text: str, language: Language) -> list[Hidden]:
    """Single letters with signs between them that read as words, or as a cipher."""
    found = []
    for match in _SINGLES.finditer(text):
        hidden = _read(match.group(), match.span(), language)
        if hidden is not None:
            found.append(hidden)
        if len(found) > MOST_FOUND:
            found[-1] = unread(found[-1])
            break
    return found


def find_numbered(text: str, language: Language) -> list[Hidden]:
    """Numbers 1 to 26 that spell words: 8-5-12-12-15."""
    found = []
    for match in _NUMBERS.finditer(text):
        said = _spell(match.group())
        run = letters_in(said)
        if len(run) >= LEAST_LETTERS and language.joined_mean(run) > JOINED:
            words = said if " " in said.strip() else language.segment(run[:2000])
            found.append(Hidden("numbered letters", match.span(), words, len(run)))
    return found


def _spell(block: str) -> str:
    """Numbers as letters; a separator other than the usual one ends a word."""
    numbers = [int(n) for n in re.findall(r"\d+", block)]
    if any(not 1 <= n <= 26 for n in numbers):
        return ""
    between = re.findall(r"[^\d]+", block)
    usual = Counter(between).most_common(1)[0][0]
    letters = [chr(n + ord("a") - 1) for n in numbers]
    ends = ["" if sign == usual else " " for sign in between]
    return "".join(a + b for a, b in zip(letters, [*ends, ""], strict=True))


def _read(shown: str, span: tuple[int, int], language: Language) -> Hidden | None:
    said = together(shown)
    run = letters_in(said)
    if len(run) < LEAST_LETTERS or len(set(run)) < 7:
        return None
    spaced = " " in said
    if language.joined_mean(run) > JOINED:
        words = said if spaced else language.segment(run[:4000])
        return Hidden("spaced-out letters", span, words, len(run))
    for hidden in find_shifted(said, language) if spaced else []:
        if hidden.letters * 2 > len(run):
            kind = f"{hidden.kind} with separators"
            return Hidden(kind, span, hidden.text, len(run))
    many = len(run) >= CIPHER_LETTERS and len(set(run)) >= CIPHER_KINDS
    if many and coincidence(run) > CIPHER_COINCIDENCE:
        return Hidden(UNREAD, span, said, count_letters(said), readable=False)
    return None


def together(shown: str) -> str:
    """Take out the usual separator; a longer or different one ends a word."""
    between = re.findall(r"[\W_]+", shown)
    usual = Counter(between).most_common(1)[0][0]
    letters = re.findall(r"[^\W_]+", shown)
    if len(set(between)) == 1:
        return "".join(letters)
    ends = ["" if sign == usual else _mark(sign, usual) for sign in between]
    return "".join(a + b for a, b in zip(letters, [*ends, ""], strict=True))


def _mark(sign: str, usual: str) -> str:
    """Keep the punctuation of a word's end, and one space."""
    marks = "".join(c for c in sign if c in ".,?!'’")
    glued = marks in ("'", "’") and not any(map(str.isspace, sign.strip(usual)))
    return marks if glued else f"{marks} "


def coincidence(letters: str) -> float:
    """Chance that two letters of a text agree (Friedman's index of coincidence)."""
    n = len(letters)
    same = sum(k * (k - 1) for k in Counter(letters).values())
    return same / (n * (n - 1)) if n > 1 else 0.0
