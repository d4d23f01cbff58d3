"""Forms: how a block of base64, codes or escapes looks, and how it becomes bytes."""

import base64
import binascii
import quopri
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import unquote_to_bytes

from detectors.decoding.dense import from_ascii85, from_base58, from_base85, from_uu


@dataclass(frozen=True)
class Form:
    """How a block looks, and how its text becomes bytes (ValueError: it is none).

    A text without `sign` has no such block. Ordinary words and signs look like a block
    of a `loose` form, too: what it says must have letters enough that are different.
    """

    kind: str
    look: re.Pattern[str]
    decode: Callable[[str], bytes]
    sign: str = ""
    loose: bool = False


def _base64(text: str) -> bytes:
    core = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    if len(core) % 4 == 1:
        core = core[:-1]
    return base64.b64decode(core + "=" * (-len(core) % 4), validate=True)


def _backward(text: str) -> bytes:
    return _base64(text[::-1])


def _base32(text: str) -> bytes:
    core = "".join(text.split()).rstrip("=").upper()
    return base64.b32decode(core + "=" * (-len(core) % 8))


def _hex(text: str) -> bytes:
    core = re.sub(r"\\x|0x|%|[^0-9a-fA-F]", "", text)
    return binascii.unhexlify(core[: len(core) // 2 * 2])


def _binary(text: str) -> bytes:
    groups = re.findall(r"[01]+", text)
    if len(groups) == 1:
        run = groups[0]
        size = 8 if len(run) % 8 == 0 else 7
        groups = [run[i : i + size] for i in range(0, len(run) // size * size, size)]
    return bytes(int(group, 2) for group in groups)


def _octal(text: str) -> bytes:
    return bytes(int(group, 8) for group in re.findall(r"[0-7]{2,3}", text))


def _decimal(text: str) -> bytes:
    return bytes(int(group) for group in re.findall(r"\d+", text))


def _listed(base: int, text: str) -> bytes:
    codes = re.findall(r"(?:0x)?([0-9a-fA-F]{2,8})", text)
    return bytes(int(code, base) for code in codes)


def _calls(text: str) -> bytes:
    codes = re.findall(r"[(\]]\s?(0x)?([0-9a-f]{2,6})", text, re.IGNORECASE)
    return _characters([int(number, 16 if x else 10) for x, number in codes])


def _quoted_printable(text: str) -> bytes:
    return quopri.decodestring(text.encode("ascii"))


def _escapes(text: str) -> bytes:
    codes = re.findall(r"\\[uU]\{?([0-9a-fA-F]+)", text)
    return _characters([int(code, 16) for code in codes])


def _entities(text: str) -> bytes:
    codes = re.findall(r"&#(?:([xX])([0-9a-fA-F]+)|(\d+))", text)
    return _characters([int(h, 16) if x else int(d) for x, h, d in codes])


def _characters(codes: Sequence[int]) -> bytes:
    """Code points as UTF-8; two halves of a surrogate pair become one character."""
    said = "".join(chr(code) for code in codes if code < 0x110000)
    pairs = said.encode("utf-16-le", "surrogatepass")
    return pairs.decode("utf-16-le", "replace").encode("utf-8")


_CODE: Final = (
    r"(?:(?:(?:uni)?chrw?|char)\(\s?(?:0x)?[0-9a-f]{2,6}\s?\)"
    r"|\[char\]\s?(?:0x)?[0-9a-f]{2,6})"
)
_LIST: Final = re.compile(
    r"[\"'](?:0x)?[0-9a-fA-F]{2,8}[\"']"
    r"(?:\s{0,2},?\s{0,4}[\"'](?:0x)?[0-9a-fA-F]{2,8}[\"']){11,}+"
)
SIGNED: Final = (
    Form(
        "percent-encoding",
        re.compile(r"(?<![^\s\"'(=:])(?:[\w.~-]{0,40}%[0-9a-fA-F]{2}){4,}[\w.~%-]*"),
        unquote_to_bytes,
        "%",
    ),
    Form(
        "unicode escapes",
        re.compile(
            r"(?:\\u[0-9a-fA-F]{4}|\\u\{[0-9a-fA-F]{1,6}\}|\\U[0-9a-fA-F]{8}){8,}"
        ),
        _escapes,
        "\\u",
    ),
    Form(
        "character entities",
        re.compile(r"(?:&#(?:[xX][0-9a-fA-F]{2,6}|\d{2,7});?){8,}"),
        _entities,
        "&#",
    ),
    Form(
        "quoted-printable",
        re.compile(r"(?:=[0-9a-fA-F]{2}[ .,;:!?'_-]{0,2}(?:=?\r?\n)?){12,}+"),
        _quoted_printable,
        "=",
    ),
)
"""Forms told by their sign."""
NUMBERS: Final = (
    Form(
        "binary",
        re.compile(
            r"(?<![\w.])[01]{6,8}(?:[\s,|_-]{1,2}[01]{6,8}){7,}|(?<![\w.])[01]{64,}"
        ),
        _binary,
    ),
    Form(
        "octal codes",
        re.compile(r"(?<!\w)[01][0-7]{2}(?:[\s,\\]{1,2}(?:[01][0-7]{2}|4[0-7])){11,}"),
        _octal,
    ),
    Form(
        "character codes",
        re.compile(r"(?<![\w.])\d{2,3}(?:[\s,;-]{1,2}\d{2,3}){11,}"),
        _decimal,
    ),
    Form(
        "hexadecimal",
        re.compile(r"(?<![0-9A-Za-z])(?:(?:\\x|0x)?[0-9a-fA-F]{2}[\s:,-]{0,2}){12,}+"),
        _hex,
    ),
    Form(
        "calls for characters",
        re.compile(
            rf"(?=[cu\[])(?<!\w){_CODE}(?:[\s+.&,|]{{0,5}}{_CODE}){{7,}}", re.IGNORECASE
        ),
        _calls,
    ),
    Form("list of hexadecimal", _LIST, partial(_listed, 16)),
    Form("list of character codes", _LIST, partial(_listed, 10)),
    Form("list of octal codes", _LIST, partial(_listed, 8)),
    Form("list of binary", _LIST, partial(_listed, 2)),
)
"""Forms with many digits."""
RUNS: Final = (
    Form(
        "base32",
        re.compile(r"(?<![\w+/])[A-Z2-7]{24,}={0,6}(?:\s[A-Z2-7]{8,}={0,6})*"),
        _base32,
    ),
    Form(
        "base64",
        re.compile(
            r"(?<![\w+/])(?:[A-Za-z0-9+/_-]{40,}+\r?\n)*[A-Za-z0-9+/_-]{16,}={0,2}"
        ),
        _base64,
    ),
    Form(
        "base58",
        re.compile(r"(?<![\w+/])[1-9A-HJ-NP-Za-km-z]{20,}+(?![\w+/=])"),
        from_base58,
        loose=True,
    ),
    Form(
        "reversed base64",
        re.compile(
            r"(?<![\w+/=])={0,2}[A-Za-z0-9+/_-]{16,}+(?:\r?\n[A-Za-z0-9+/_-]{40,}+)*"
        ),
        _backward,
        loose=True,
    ),
    Form(
        "hexadecimal",
        re.compile(r"(?<![0-9A-Za-z])(?:(?:\\x|0x)?[0-9a-fA-F]{2}[\s:,-]{0,2}){12,}+"),
        _hex,
    ),
)
"""Forms that are long runs of letters and digits."""
DENSE: Final = (
    Form(
        "Ascii85",
        re.compile(
            r"<~[!-uz\s]{16,}+~>"
            r"|(?<!\S)[!-uz]{20,}+(?!\S)(?:\r?\n[!-uz]++(?!\S))*+"
        ),
        from_ascii85,
        loose=True,
    ),
    Form(
        "base85",
        re.compile(
            r"(?<![^\s\"'])[0-9A-Za-z!#$%&()*+\-;<=>?@^_`{|}~]{20,}+(?![^\s\"',.])"
        ),
        from_base85,
        loose=True,
    ),
    Form(
        "uuencoding",
        re.compile(
            r"^(?:begin [^\n]{1,100}\n)?(?:[!-M][!-`][ -`]{6,60}\r?$\n?)+",
            re.MULTILINE,
        ),
        from_uu,
        loose=True,
    ),
)
"""Forms that are long runs of letters, digits and signs."""
FORMS: Final = (*SIGNED, *NUMBERS, *RUNS[:-1], *DENSE)
