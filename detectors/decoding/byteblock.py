"""Base64, base32, hexadecimal, binary, decimal codes, percent signs and escapes."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from detectors.decoding.charset import readings
from detectors.decoding.hidden import Hidden, count_letters
from detectors.decoding.language import Language
from detectors.decoding.shift import find_shifted

MOST_BLOCKS: Final = 200
"""Blocks of a form that are reported, and that are searched for a second encoding."""
MOST_TEXTS: Final = 4_000
"""Blocks of a form that decode to some text and are judged."""
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
    codes = re.findall(r"\\[uU]\{?([0-9a-fA-F]+)", text)
    return _characters([int(code, 16) for code in codes])


def _entities(text: str) -> bytes:
    codes = re.findall(r"&#(x?)([0-9a-fA-F]+);", text)
    return _characters([int(number, 16 if x else 10) for x, number in codes])


def _characters(codes: Sequence[int]) -> bytes:
    """Code points as UTF-8; two halves of a surrogate pair become one character."""
    said = "".join(chr(code) for code in codes if code < 0x110000)
    pairs = said.encode("utf-16-le", "surrogatepass")
    return pairs.decode("utf-16-le", "replace").encode("utf-8")


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
_BREAK: Final = re.compile(r"[\s,]")
_LINE: Final = re.compile(r"[^\s,]+")
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


@dataclass
class _Work:
    """What may still be looked at in one text, so that time is bounded.

    A block that decodes to no text costs next to nothing and is not counted.
    """

    texts: int = MOST_TEXTS
    deep: int = MOST_BLOCKS


def _find(forms: Sequence[Form], text: str, language: Language) -> list[Hidden]:
    """Find blocks that decode to sentences. What decodes to data is not reported."""
    found: list[Hidden] = []
    for form in forms:
        work, before = _Work(), len(found)
        for match in form.look.finditer(text):
            if work.texts <= 0 or len(found) - before >= MOST_BLOCKS:
                break
            if form.sign == "%" and _in_address(text, match.start()):
                continue
            found += _found(form, match, language, work)
    return found


def _found(
    form: Form, match: re.Match[str], language: Language, work: _Work
) -> list[Hidden]:
    """Find what a block says; where it says nothing, what its lines say."""
    said = _said(form, match.group(), language, 1, work)
    if said is not None:
        return [Hidden(said[0], match.span(), said[1], count_letters(said[1]))]
    found: list[Hidden] = []
    lines = _LINE.finditer(match.group())
    for line in lines if _BREAK.search(match.group()) else ():
        if len(found) < MOST_BLOCKS and form.look.fullmatch(line.group()):
            said = _said(form, line.group(), language, 1, work)
            span = line.start() + match.start(), line.end() + match.start()
            if said is not None:
                found.append(Hidden(said[0], span, said[1], count_letters(said[1])))
    return found


def _in_address(text: str, place: int) -> bool:
    """Say whether a place lies in a web address, where percent signs are ordinary."""
    before = text[max(0, place - ADDRESS_CHARS) : place].split()
    return bool(before) and "://" in before[-1] and not text[place - 1].isspace()


def _said(
    form: Form, block: str, language: Language, depth: int, work: _Work
) -> tuple[str, str] | None:
    """Kind and sentences of a block, through other encodings inside it; else None."""
    texts = [t for t in _texts(form, block) if count_letters(t) >= LEAST_LETTERS]
    work.texts -= len(texts)
    for text in texts:
        if language.is_prose(text):
            return form.kind, text
    if not texts or work.deep <= 0:
        return None
    work.deep -= 1
    return _said_inside(form, texts[0], language, depth, work)


def _said_inside(
    form: Form, text: str, language: Language, depth: int, work: _Work
) -> tuple[str, str] | None:
    for hidden in find_shifted(text, language):
        if hidden.letters * 2 > count_letters(text):
            return f"{hidden.kind} inside {form.kind}", hidden.text
    for inner in FORMS if depth < DEEPEST else ():
        match = inner.look.fullmatch(text.strip())
        said = match and _said(inner, match.group(), language, depth + 1, work)
        if said:
            return f"{said[0]} inside {form.kind}", said[1]
    return None


def _texts(form: Form, block: str) -> list[str]:
    """Return what a block may say, likeliest first; nothing where that is no text."""
    try:
        return readings(form.decode(block))
    except (ValueError, OverflowError):
        return []
