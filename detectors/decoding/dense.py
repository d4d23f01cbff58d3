"""Bytes from base58, Ascii85, base85 and uuencoding; ValueError where text is none."""

import base64
import binascii
from typing import Final

MOST_BASE58: Final = 50_000
"""Characters of one number in base58: time grows faster than its length."""
_BASE58: Final = {
    char: value
    for value, char in enumerate(
        "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    )
}
_QUOTES: Final = "\"'`"


def from_base58(text: str) -> bytes:
    """Read one number in the alphabet of Bitcoin."""
    if len(text) > MOST_BASE58:
        raise ValueError("too long a number")
    number = _joined([_BASE58[char] for char in text])
    return number.to_bytes((number.bit_length() + 7) // 8)


def _joined(digits: list[int]) -> int:
    """Join digits, the first weighing most, two by two: far faster than one by one."""
    base = 58
    while len(digits) > 1:
        if len(digits) % 2:
            digits.insert(0, 0)
        pairs = zip(digits[::2], digits[1::2], strict=True)
        digits = [high * base + low for high, low in pairs]
        base *= base
    return digits[0]


def from_ascii85(text: str) -> bytes:
    """Read Ascii85, in the frame of Adobe, between quotes or bare."""
    if text[0] in _QUOTES and text[-1] == text[0]:
        text = text[1:-1]
    return base64.a85decode(text.removeprefix("<~").removesuffix("~>"))


def from_base85(text: str) -> bytes:
    """Read base85 as git and Python write it (RFC 1924's alphabet)."""
    return base64.b85decode(text)


def from_uu(text: str) -> bytes:
    """Read the lines whose length is what their first character says."""
    return b"".join(map(_uu_line, text.splitlines()))


def _uu_line(line: str) -> bytes:
    size = ord(line[0]) - ord(" ")
    if not 0 <= len(line) - 1 - size * 4 // 3 + 4 <= 8:
        return b""
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        return b""
