"""Hostile text made safe to keep and to show: bounded, valid Unicode, no controls."""

import re
from typing import Final

UNFIT: Final = re.compile(r"[\x00\ud800-\udfff]")


def plain(text: str) -> bool:
    """Say whether every database and encoding takes a text.

    PostgreSQL refuses U+0000, UTF-8 a lone half of a surrogate pair.
    """
    return UNFIT.search(text) is None


def storable(text: str) -> str:
    """Return text that every database takes: U+FFFD stands for what is not plain."""
    return clean(text).replace("\x00", "\ufffd")


def clean(text: str, limit: int = 0) -> str:
    """Return valid Unicode of at most `limit` characters.

    Lone surrogates become U+FFFD. Cut text ends with an ellipsis; `limit` 0 means no
    limit. Control characters stay: JSON escapes them.
    """
    if limit and len(text) > limit:
        text = text[: limit - 1] + "…"
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def printable(text: str, limit: int = 200) -> str:
    r"""Return one line that cannot steer a terminal.

    Line breaks become spaces; escape sequences, other controls and text-direction marks
    become visible escapes such as "\x1b".
    """
    words = " ".join(clean(text, 4 * limit).split(" "))
    shown = "".join(_visible(character) for character in words)
    return clean(shown, limit)


def _visible(character: str) -> str:
    if character in "\n\r\t":
        return " "
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
