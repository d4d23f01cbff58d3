"""Letters that look like others: Cyrillic and Greek twins, fullwidth, mathematical."""

import re
import unicodedata
from functools import lru_cache
from typing import Final

from detectors.decoding.hidden import Hidden
from detectors.decoding.language import Language

LEAST_LETTERS: Final = 8
GAP: Final = 40
"""Disguised words this many characters apart or less are one finding."""

TWINS: Final[dict[str, str]] = {
    **dict(zip("аԁеѕіјӏорԛсԝхуһѵьгптвмнк", "adesijlopqcwxyhvbrntbmhk", strict=True)),
    **dict(zip("АВЕЅІЈКМНОРԚСТԜХУҺЬ", "ABESIJKMHOPQCTWXYHB", strict=True)),
    **dict(zip("αβγεικνορτυχωηϲϳ", "abyeikvoptuxwncj", strict=True)),
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True)),
    **dict(zip("օսոհզցյք", "ounhqgjp", strict=True)),
    **dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnopqrstuvwyz", strict=True)),
    **dict(zip("ɐɔǝɟƃɥᴉɾʞɯɹʇʌʍʎ", "acefghijkmrtvwy", strict=True)),
    **dict(zip("ɑɡıȷʋɩ", "agijvi", strict=True)),
    **dict(zip("ᎪᏴᏟᎠᎬᎻᎫᏦᏞᎷᏢᏒᏚᎢᏙᎳᏃ", "ABCDEHJKLMPRSTVWZ", strict=True)),
}
UPSIDE_DOWN: Final = frozenset("ɐɔǝɟƃɥᴉɾʞɯɹʇʌʍʎ")


@lru_cache(maxsize=4096)
def plain_letter(char: str) -> str:
    """Return the letter a..z or A..Z that a character passes for, "" for none."""
    if char in TWINS:
        return TWINS[char]
    code = ord(char)
    if 0x1F1E6 <= code <= 0x1F1FF:
        return chr(code - 0x1F1E6 + ord("A"))
    for start in (0x1F130, 0x1F150, 0x1F170):
        if start <= code < start + 26:
            return chr(code - start + ord("A"))
    folded = unicodedata.normalize("NFKD", char)
    stripped = folded.strip("()")
    if (
        code > 0x2000
        and len(stripped) == 1
        and stripped.isascii()
        and stripped.isalpha()
    ):
        return stripped
    return ""


def is_styled(char: str) -> bool:
    """Say whether a character is a styled Latin letter, of no script of its own."""
    return bool(plain_letter(char)) and char not in TWINS


def find_confusables(text: str, language: Language) -> list[Hidden]:
    """Words spelt with look-alikes that read as sentences once spelt plainly."""
    if text.isascii() or not any(map(plain_letter, set(text) - _ASCII)):
        return []
    found, group = [], list[tuple[int, int]]()
    for span in _disguised_words(text):
        if group and span[0] - group[-1][1] > GAP:
            found += _finding(text, group, language)
            group = []
        group.append(span)
    return found + (_finding(text, group, language) if group else [])


_ASCII: Final = frozenset(map(chr, range(128)))
_WORD: Final = re.compile(r"[^\s]+")


def _disguised_words(text: str) -> list[tuple[int, int]]:
    """Words with styled letters only, or that mix Latin letters with twins of them."""
    found = []
    for match in _WORD.finditer(text):
        word = match.group()
        if word.isascii():
            continue
        twins = sum(c in TWINS for c in word)
        styled = sum(map(is_styled, word))
        latin = sum(c.isascii() and c.isalpha() for c in word)
        unlike = sum(
            c.isalpha() and not plain_letter(c) and not c.isascii() for c in word
        )
        small = sum(c in TWINS and (c > "\u0530" or "ɐ" <= c <= "ʟ") for c in word)
        mixed = twins and (latin or small == twins) and not unlike
        if styled + twins and (mixed or styled >= max(1, unlike)):
            found.append(match.span())
    return found


def _finding(
    text: str, spans: list[tuple[int, int]], language: Language
) -> list[Hidden]:
    start, end = spans[0][0], spans[-1][1]
    letters = sum(bool(plain_letter(c)) for a, b in spans for c in text[a:b])
    shown = text[start:end]
    said = "".join(plain_letter(c) or c for c in shown)
    if sum(c in UPSIDE_DOWN for c in shown) * 4 > letters:
        said = _turn(shown)
    mean, count = language.mean(said)
    if letters < LEAST_LETTERS or count < LEAST_LETTERS or mean < -3.2:
        return []
    return [Hidden("look-alike letters", (start, end), said, letters)]


def _turn(text: str) -> str:
    """Read upside-down writing: the letters turned, and from last to first."""
    turned = {"n": "u", "u": "n", "b": "q", "q": "b", "d": "p", "p": "d"}
    return "".join(turned.get(c) or plain_letter(c) or c for c in reversed(text))
