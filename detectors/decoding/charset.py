"""Bytes as text: UTF-8, UTF-16 or Western one-byte letters, or no text at all."""

import unicodedata
from collections import Counter
from typing import Final

SAMPLE: Final = 4_096
"""Bytes by which a charset is told."""
PRINTABLE: Final = 0.9
"""Share of the characters, controls and format signs left out, that can be shown."""
LEAST_KEPT: Final = 1 / 3
"""Share of the characters that may not be controls and format signs."""
ASCII: Final = 0.8
"""Share of ASCII in a text of Western one-byte letters; chance gives a half."""
ONE_SCRIPT: Final = 0.95
"""Share of UTF-16 characters that are ASCII or of the commonest other block."""
SPACES: Final = 1 / 20
_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_BREAKS: Final = "\n\r\t\v\f\x85\u2028\u2029"
_HIGH: Final = bytes(range(0x80, 0x100))


def readings(data: bytes) -> list[str]:
    """Return the texts that bytes may be, likeliest first; none for most binaries.

    Control characters and signs that are not shown are left out. Whether a text says
    something is for its reader to judge.
    """
    said = [shown(text) for text in _decoded(data)]
    return [text for text in said if text is not None]


def _decoded(data: bytes) -> list[str]:
    if data[:2] in _MARKS:
        return [data.decode("utf-16", "replace")]
    sample = data[:SAMPLE]
    texts = [data.decode(codec, "replace") for codec in _wide(sample)]
    try:
        return [*texts, data.decode("utf-8")]
    except UnicodeDecodeError:
        pass
    if len(sample.translate(None, _HIGH)) >= ASCII * len(sample):
        texts.append(data.decode("cp1252", "replace"))
    if shown(sample.decode("utf-8", "replace")) is not None:
        texts.append(data.decode("utf-8", "replace"))
    return texts


def _wide(sample: bytes) -> list[str]:
    """Name the UTF-16 in which bytes are ASCII, or words of one other script."""
    found = []
    for codec, first in (("utf-16-le", 1), ("utf-16-be", 0)):
        high = Counter(sample[first::2])
        least, low = ONE_SCRIPT * high.total(), high.pop(0, 0)
        spaces = sample.decode(codec, "replace").count(" ") if low else 0
        most = max(high.values(), default=0) if spaces >= SPACES * least else 0
        if low and low + most >= least:
            found.append(codec)
    return found


def shown(text: str) -> str | None:
    """Return a text without what is not shown; None where that is most of it."""
    plain = text.replace("\n", " ").replace("\t", " ").replace("\r", " ")
    if plain.isprintable() and "\ufffd" not in text:
        return text
    # Controls in the place of spaces become spaces, others go without a trace.
    gap = "" if " " in text or "\u00a0" in text else " "
    signs = {char: _sign(char, gap) for char in set(text)}
    said = "".join([signs[char] for char in text])
    kept = sum(map(str.isprintable, said)) + sum(map(said.count, "\n\r\t"))
    kept -= said.count("\ufffd")
    if kept < PRINTABLE * len(said) or kept < LEAST_KEPT * len(text):
        return None
    return "".join(c for c in said if c != "\ufffd")


def _sign(char: str, gap: str) -> str:
    """Return what a character is read as."""
    if char in _BREAKS:
        return char if char in "\n\r\t" else "\n"
    kind = unicodedata.category(char)
    if kind == "Zs":
        return " "
    if kind == "Cc":
        return gap
    return "" if kind == "Cf" else char
