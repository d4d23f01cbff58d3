"""Characters as classes: the letters a..z of any Latin text, digits, the rest."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

EDGE: Final = 26
"""Whatever stands between words: space, punctuation, symbols."""
DIGIT: Final = 27
OTHER: Final = 28
"""Letters of other scripts and combining marks."""
SYMBOLS: Final = 27
"""Letters and the edge: what the letter model counts."""
BETWEEN: Final = "\n\n"
LONGEST_WORD: Final = 24
_PLAIN: Final = {
    **dict(zip("ßæøđłıþðœəħŧŋĸſ", "saodlitdoehtnks", strict=True)),
}

Codes = NDArray[np.uint32]
Classes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@lru_cache(maxsize=1)
def class_table() -> Classes:
    """Class of every character of the basic plane: (65536,)."""
    table = np.full(0x10000, EDGE, np.uint8)
    for code in range(0x10000):
        table[code] = _class(chr(code))
    return table


def _class(char: str) -> int:
    kind = unicodedata.category(char)
    if kind == "Nd":
        return DIGIT
    if kind[0] not in "LM":
        return EDGE
    if ord(char) < 0x250 or 0x1E00 <= ord(char) < 0x1F00:
        base = unicodedata.normalize("NFKD", char)[0].lower()
        base = _PLAIN.get(base, base)
        if "a" <= base <= "z":
            return ord(base) - ord("a")
    return OTHER


def codes_of(text: str) -> Codes:
    """Code points of a text, lone surrogates too: (n,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def classes_of(codes: Codes) -> Classes:
    """Class of each character; those beyond the basic plane are edges."""
    inside = codes < 0x10000
    return np.where(inside, class_table()[np.where(inside, codes, 0)], EDGE).astype(
        np.uint8
    )


@dataclass(frozen=True)
class Words:
    """The runs of letters and digits of a text, as masks over its characters (n,).

    `starts` marks the first character of each, `letters` the letters of words proper:
    no digit or other script in it, no escape before it, not overlong. Identifiers such
    as hashes, keys, base64 and DNA are not words proper. `lengths` (w,) counts.
    """

    starts: Mask
    letters: Mask
    lengths: NDArray[np.int64]


def words_of(classes: Classes, codes: Codes) -> Words:
    """Find the words of a text."""
    inside: Mask = classes != EDGE
    starts = inside.copy()
    starts[1:] &= ~inside[:-1]
    word = np.cumsum(starts)
    count = int(word[-1]) + 1 if len(word) else 1
    mixed = inside & (classes >= DIGIT)
    mixed[1:] |= starts[1:] & (codes[:-1] == ord("\\"))
    bad = np.bincount(word[mixed], minlength=count) > 0
    lengths = np.bincount(word[inside], minlength=count)
    bad |= lengths > LONGEST_WORD
    letters: Mask = classes < EDGE
    letters &= ~bad[word]
    return Words(starts, letters, lengths[1:])


def valid_letters(classes: Classes, codes: Codes) -> Mask:
    """Mark the letters of words proper: (n,)."""
    return words_of(classes, codes).letters


def joined_codes(texts: Sequence[str]) -> tuple[Codes, NDArray[np.int64]]:
    """Code points of all texts, edges between them; where each starts: (n + 1,)."""
    lengths = np.asarray([len(t) + len(BETWEEN) for t in texts], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return codes_of(BETWEEN.join([*texts, ""])), starts


def letters_in(text: str) -> str:
    """Return the Latin letters of a text, folded to a..z, without what lies between."""
    classes = classes_of(codes_of(text))
    return bytes((classes[classes < EDGE] + ord("a")).tolist()).decode("ascii")
