"""Base64, base32, hexadecimal, binary, decimal codes, percent signs and escapes."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from detectors.decoding.hidden import Hidden, count_letters
from detectors.decoding.language import Language
from detectors.decoding.shift import find_shifted

MOST_BLOCKS: Final = 200
DEEPEST: Final = 3
LEAST_LETTERS: Final = 10
ADDRESS_CHARS: Final = 500


@dataclass(frozen=True)
class Form:
    """How a block looks, and how its text becomes bytes (ValueError: it is none).

    A text without `sign` has no such block.
    """

    kind: str
    look: re.Pattern[str]
    decode: Callable[[str], bytes]
    sign: str = ""


def _base64(text: str) -> bytes:
    core = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    if len(core) % 4 == 1:
        core = core[:-1]
    return base64.b64decode(core + "=" * (-len(core) % 4), validate=True)


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


def _escapes(text: str) -> bytes:
    codes = (int(c, 16) for c in re.findall(r"\\u\{?([0-9a-fA-F]{4})", text))
    return "".join(map(chr, codes)).encode("utf-8")


def _entities(text: str) -> bytes:
    codes = re.findall(r"&#(x?)([0-9a-fA-F]+);", text)
    said = [int(number, 16 if x else 10) for x, number in codes]
    return "".join(chr(c) for c in said if c < 0x110000).encode("utf-8")


SIGNED: Final = (
    Form(
        "percent-encoding",
        re.compile(r"(?<![^\s\"'(=:])(?:[\w.~-]{0,40}%[0-9a-fA-F]{2}){4,}[\w.~%-]*"),
        unquote_to_bytes,
        "%",
    ),
    Form(
        "unicode escapes",
        re.compile(r"(?:\\u\{?[0-9a-fA-F]{4}\}?){8,}"),
        _escapes,
        "\\u",
    ),
    Form(
        "character entities",
        re.compile(r"(?:&#x?[0-9a-fA-F]{2,6};){8,}"),
        _entities,
        "&#",
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
        "hexadecimal",
        re.compile(r"(?<![0-9A-Za-z])(?:(?:\\x|0x)?[0-9a-fA-F]{2}[\s:,-]{0,2}){12,}+"),
        _hex,
    ),
)
"""Forms that are long runs of letters and digits."""
FORMS: Final = (*SIGNED, *NUMBERS, *RUNS[:2])


def find_signed_blocks(text: str, language: Language) -> list[Hidden]:
    """Find percent-encoding, escapes and entities that decode to sentences."""
    return _find([form for form in SIGNED if form.sign in text], text, language)


def find_number_blocks(text: str, language: Language) -> list[Hidden]:
    """Find binary, octal, decimal and hexadecimal codes of sentences."""
    return _find(NUMBERS, text, language)


def find_run_blocks(text: str, language: Language) -> list[Hidden]:
    """Find base64, base32 and unbroken hexadecimal that decode to sentences."""
    return _find(RUNS, text, language)


def _find(forms: Sequence[Form], text: str, language: Language) -> list[Hidden]:
    """Find blocks that decode to sentences. What decodes to data is not reported."""
    found = []
    for form in forms:
        for match in _first(form.look.finditer(text)):
            if form.sign == "%" and _in_address(text, match.start()):
                continue
            said = _said(form, match.group(), language, 1)
            if said is not None:
                kind, words = said
                found.append(Hidden(kind, match.span(), words, count_letters(words)))
    return found


def _in_address(text: str, place: int) -> bool:
    """Say whether a place lies in a web address, where percent signs are ordinary."""
    before = text[max(0, place - ADDRESS_CHARS) : place].split()
    return bool(before) and "://" in before[-1] and not text[place - 1].isspace()


def _first(matches: Iterator[re.Match[str]]) -> Iterator[re.Match[str]]:
    for match, _ in zip(matches, range(MOST_BLOCKS), strict=False):
        yield match


def _said(
    form: Form, block: str, language: Language, depth: int
) -> tuple[str, str] | None:
    """Kind and sentences of a block, through other encodings inside it; else None."""
    text = printable(form, block)
    if text is None or count_letters(text) < LEAST_LETTERS:
        return None
    if language.is_prose(text):
        return form.kind, text
    for hidden in find_shifted(text, language):
        if hidden.letters * 2 > count_letters(text):
            return f"{hidden.kind} inside {form.kind}", hidden.text
    for inner in FORMS if depth < DEEPEST else ():
        match = inner.look.fullmatch(text.strip())
        said = match and _said(inner, match.group(), language, depth + 1)
        if said:
            return f"{said[0]} inside {form.kind}", said[1]
    return None


def printable(form: Form, block: str) -> str | None:
    """Return what a block decodes to, None where that is no text."""
    try:
        text = form.decode(block).decode("utf-8")
    except (ValueError, OverflowError):
        return None
    shown = text.replace("\n", " ").replace("\t", " ").replace("\r", " ")
    return text if shown.isprintable() else None
