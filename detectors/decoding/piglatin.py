"""Pig latin: the first consonants of each word at its end, with "ay"."""

import re
from typing import Final

from detectors.decoding.hidden import Hidden, count_letters
from detectors.decoding.language import Language

_AY: Final = re.compile(r"(?<![\w'’-])[A-Za-z'’-]{1,30}[aA][yY](?![\w'’-])")
_WORD: Final = re.compile(r"[A-Za-z'’]+")
LEAST_WORDS: Final = 6
MOST_GAP: Final = 30


def find_pig_latin(text: str, language: Language) -> list[Hidden]:
    """Stretches where nearly every word ends in "ay" and reads when turned back."""
    group: list[tuple[int, int]] = []
    found: list[Hidden] = []
    for match in _AY.finditer(text):
        if group and match.start() - group[-1][1] > MOST_GAP:
            found += _finding(text, group, language)
            group = []
        group.append(match.span())
    return found + _finding(text, group, language)


def _finding(
    text: str, words: list[tuple[int, int]], language: Language
) -> list[Hidden]:
    start, end = (words[0][0], words[-1][1]) if words else (0, 0)
    shown = text[start:end]
    if len(words) < LEAST_WORDS or len(words) < 0.75 * len(_WORD.findall(shown)):
        return []
    said = _WORD.sub(lambda m: turn_back(m.group(), language), shown)
    if language.mean(said)[0] < language.mean(shown)[0] + 0.2:
        return []
    return [Hidden("pig latin", (start, end), said, count_letters(said))]


def turn_back(word: str, language: Language) -> str:
    """Undo pig latin: of the ways to cut the tail, the one that reads best."""
    if not word.lower().endswith("ay"):
        return word
    core = word[:-2].replace("-", "")
    ways = [core[-n:] + core[:-n] if n else core for n in range(min(4, len(core)))]
    if core[-1:].lower() in ("w", "y"):
        ways.append(core[:-1])
    return max(ways or [word], key=lambda way: language.mean(way.lower())[0])
