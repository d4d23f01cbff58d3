"""Words spelt in the alphabet of radio operators: alpha for a, bravo for b."""

import re
from collections import Counter
from typing import Final

from detectors.decoding.alphabet import letters_in
from detectors.decoding.hidden import Hidden
from detectors.decoding.language import Language
from detectors.decoding.morse import JOINED

_NAMES: Final = (
    "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike "
    "november oscar papa quebec romeo sierra tango uniform victor whiskey xray yankee "
    "zulu alfa juliett whisky"
)
_LETTERS: Final = {name: name[0] for name in _NAMES.split()} | {"x-ray": "x"}
_DIGITS: Final = "zero one two three four five six seven eight nine"
_SAID: Final = {
    **_LETTERS,
    **{name: str(digit) for digit, name in enumerate(_DIGITS.split())},
    **dict.fromkeys(("space", "stop", "break"), " "),
}
_NAME: Final = "|".join(sorted(_SAID, key=len, reverse=True))
_WORD: Final = re.compile(rf"\b(?:{_NAME})\b", re.IGNORECASE)
_BETWEEN: Final = r"[\s,.;:|/()+*_-]{1,5}"
_LOOK: Final = re.compile(
    rf"\b(?:{_NAME})\b(?:{_BETWEEN}(?:{_NAME})\b){{11,}}", re.IGNORECASE
)
_SIGNS: Final = ("echo", "sierra", "tango")
"""E, S and T: a text without any of them is not searched further."""
LEAST_LETTERS: Final = 12


def find_spelt(text: str, language: Language) -> list[Hidden]:
    """Find names of letters that spell words: hotel echo lima lima oscar."""
    found: list[Hidden] = []
    small = text.lower()
    if not any(sign in small for sign in _SIGNS):
        return found
    for match in _LOOK.finditer(text):
        said = _spell(match.group())
        run = letters_in(said)
        if len(run) >= LEAST_LETTERS and language.joined_mean(run) > JOINED:
            words = said if " " in said.strip() else language.segment(run[:2000])
            found.append(Hidden("spelt letters", match.span(), words, len(run)))
    return found


def _spell(block: str) -> str:
    """Names as letters; a separator other than the usual one ends a word."""
    names = [_SAID[name.lower()] for name in _WORD.findall(block)]
    between = _WORD.split(block)[1:-1]
    usual = Counter(between).most_common(1)[0][0]
    ends = ["" if sign == usual else " " for sign in between]
    return "".join(a + b for a, b in zip(names, [*ends, ""], strict=True))
