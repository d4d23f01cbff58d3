"""Whether a text, or a longer stretch of it, is in a script the encoder cannot read."""

import unicodedata
from functools import lru_cache
from typing import Final

import numpy as np

FEW_LETTERS: Final = 4
STRETCH_LETTERS: Final = 300
"""Letters of another script that are no mere quotation where they stand together."""

_LATIN: Final = "L"
_OTHER: Final = "O"


def is_foreign(text: str) -> bool:
    """Say whether the text, or a stretch of it, is mostly in another script than Latin.

    So it is where half of all letters are not Latin ones, or STRETCH_LETTERS of some
    2 * STRETCH_LETTERS in a row. MiniLM was trained on English: other Latin-script
    languages carry over in part, other scripts fall apart into characters. Styled
    letters count as what they resemble (NFKC). Texts of fewer than FEW_LETTERS letters
    are not foreign. Time and memory are linear in the text.
    """
    letters = text.translate(_Letters())
    if len(letters) < FEW_LETTERS:
        return False
    other = np.frombuffer(letters.encode("ascii"), np.uint8) == ord(_OTHER)
    before = np.concatenate([[0], np.cumsum(other, dtype=np.int32)])
    if 2 * int(before[-1]) >= len(letters):
        return True
    within = min(2 * STRETCH_LETTERS, len(letters))
    return bool(np.max(before[within:] - before[:-within]) >= STRETCH_LETTERS)


class _Letters:
    """A table for `str.translate`: a character becomes the scripts of its letters."""

    def __getitem__(self, code: int) -> str:
        return _scripts_of(code)


@lru_cache(maxsize=1 << 16)
def _scripts_of(code: int) -> str:
    """Return _LATIN or _OTHER for each letter that a character stands for.

    One for private use may be any letter, in a font of its own.
    """
    if unicodedata.category(chr(code)) == "Co":
        return _OTHER
    return "".join(
        _LATIN if c.isascii() or "LATIN" in unicodedata.name(c, "") else _OTHER
        for c in unicodedata.normalize("NFKC", chr(code))
        if c.isalpha()
    )
