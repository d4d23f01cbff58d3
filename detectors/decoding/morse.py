"""Morse code and braille."""

import re
from typing import Final

from detectors.decoding.hidden import Hidden, count_letters
from detectors.decoding.language import Language

_CODE: Final = [
    ".-",
    "-...",
    "-.-.",
    "-..",
    ".",
    "..-.",
    "--.",
    "....",
    "..",
    ".---",
    "-.-",
    ".-..",
    "--",
    "-.",
    "---",
    ".--.",
    "--.-",
    ".-.",
    "...",
    "-",
    "..-",
    "...-",
    ".--",
    "-..-",
    "-.--",
    "--..",
    "-----",
    ".----",
    "..---",
    "...--",
    "....-",
    ".....",
    "-....",
    "--...",
    "---..",
    "----.",
    ".-.-.-",
    "--..--",
    "..--..",
    ".----.",
    "-.-.--",
    "-..-.",
    "-.--.-",
    "-.--.",
    ".-...",
    "---...",
    "-.-.-.",
    "-...-",
    ".-.-.",
    "-....-",
    "..--.-",
    ".-..-.",
    ".--.-.",
]
MORSE: Final = dict(
    zip(_CODE, "abcdefghijklmnopqrstuvwxyz0123456789.,?'!/)(&:;=+-_\"@", strict=True)
)
_DOTS: Final = str.maketrans("·•∙−–—_", "...----")
_LOOK: Final = re.compile(
    r"(?<![^\s|])[.·•∙\-−–—_]{1,7}(?:[ \t/|\n]{1,5}[.·•∙\-−–—_]{1,7}){9,}"
)
_BRAILLE: Final = re.compile("[\u2801-\u28ff][\u2800-\u28ff \n]{9,}")
_CELLS: Final = "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵"
_BRAILLE_LETTERS: Final = {
    **dict(zip(_CELLS, "abcdefghijklmnopqrstuvwxyz", strict=True)),
    "\u2800": " ",
}
LEAST_LETTERS: Final = 8


def find_morse(text: str, language: Language) -> list[Hidden]:
    """Morse that spells words, letters between spaces and words between slashes."""
    found = []
    for match in _LOOK.finditer(text):
        said = _read(match.group())
        if _spells(said, language):
            found.append(Hidden("Morse code", match.span(), said, count_letters(said)))
    return found


def find_braille(text: str, language: Language) -> list[Hidden]:
    """Braille cells that spell words in the Latin alphabet, uncontracted."""
    if text.isascii():
        return []
    found = []
    for match in _BRAILLE.finditer(text):
        said = "".join(_BRAILLE_LETTERS.get(c, c) for c in match.group())
        if _spells(said, language):
            found.append(Hidden("braille", match.span(), said, count_letters(said)))
    return found


def _read(block: str) -> str:
    words = re.split(r"\s*[/|]\s*|\s{2,}|\n", block.translate(_DOTS).strip())
    return " ".join(
        "".join(MORSE.get(letter, "\ufffd") for letter in word.split())
        for word in words
    )


def _spells(said: str, language: Language) -> bool:
    letters = count_letters(said)
    if letters < LEAST_LETTERS or said.count("\ufffd") * 10 > letters:
        return False
    run = "".join(c for c in said if "a" <= c <= "z")
    return language.joined_mean(run) > JOINED


JOINED: Final = -3.0
"""Mean log-likelihood of letters without word edges from which they read as words."""
