"""Blocks of text in which bytes or characters stand as codes, and what they say."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from detectors.decoding.charset import readings
from detectors.decoding.form import DENSE, FORMS, NUMBERS, RUNS, SIGNED, Form
from detectors.decoding.hidden import Hidden, count_letters, unread
from detectors.decoding.language import Language
from detectors.decoding.packed import MOST_UNPACKED, unpacked
from detectors.decoding.rot47 import find_rot47
from detectors.decoding.shift import find_shifted

MOST_BLOCKS: Final = 200
"""Blocks of a form that are reported, and that are searched for a second encoding."""
MOST_TEXTS: Final = 4_000
"""Blocks of a form that decode to some text and are judged."""
DEEPEST: Final = 3
LEAST_LETTERS: Final = 10
LEAST_KINDS: Final = 10
SAMPLE: Final = 4_000
ADDRESS_CHARS: Final = 500
LEAST_DENSE: Final = 18
"""Characters without a space that a text must have to be searched for dense blocks."""
_BREAK: Final = re.compile(r"[\s,]")
_LINE: Final = re.compile(r"[^\s,]+")


def find_signed_blocks(text: str, language: Language) -> list[Hidden]:
    """Find percent-encoding, escapes, entities and the like that say sentences."""
    return _find([form for form in SIGNED if form.sign in text], text, language)


def find_number_blocks(text: str, language: Language) -> list[Hidden]:
    """Find binary, octal, decimal and hexadecimal codes of sentences."""
    return _find(NUMBERS, text, language)


def find_run_blocks(text: str, language: Language) -> list[Hidden]:
    """Find base64, base58, base32 and unbroken hexadecimal that decode to sentences."""
    return _find(RUNS, text, language)


def find_dense_blocks(text: str, language: Language) -> list[Hidden]:
    """Find Ascii85, base85 and uuencoding that decode to sentences."""
    if max(map(len, text.split()), default=0) < LEAST_DENSE:
        return []
    return _find(DENSE, text, language)


@dataclass
class _Work:
    """What may still be looked at in one text, so that time is bounded.

    A block that decodes to no text costs next to nothing and is not counted.
    """

    texts: int = MOST_TEXTS
    deep: int = MOST_BLOCKS
    unpacked: int = 2 * MOST_UNPACKED


def _find(forms: Sequence[Form], text: str, language: Language) -> list[Hidden]:
    """Find blocks that decode to sentences. What decodes to data is not reported.

    Of each form MOST_BLOCKS are read, and the next one is reported as not looked at.
    """
    found: list[Hidden] = []
    for form in forms:
        work, before = _Work(), len(found)
        for match in form.look.finditer(text):
            if form.sign == "%" and _in_address(text, match.start()):
                continue
            if work.texts <= 0:
                found.append(_more(match))
                break
            found += _found(form, match, language, work)
            if len(found) - before > MOST_BLOCKS:
                found[before + MOST_BLOCKS :] = [unread(found[before + MOST_BLOCKS])]
                break
    return found


def _more(match: re.Match[str]) -> Hidden:
    """Return the first block that is not looked at."""
    letters = count_letters(match.group())
    return unread(Hidden("", match.span(), "", letters))


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
        if len(found) <= MOST_BLOCKS and form.look.fullmatch(line.group()):
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
    kind, read = _texts(form, block, work)
    texts = [text for text in read if count_letters(text) >= LEAST_LETTERS]
    work.texts -= len(texts)
    for text in texts:
        if language.is_prose(text) and not (form.loose and _repeats(text)):
            return kind, text
    if not texts or work.deep <= 0:
        return None
    work.deep -= 1
    return _said_inside(kind, texts[0], language, depth, work)


def _repeats(text: str) -> bool:
    """Say whether a text has few letters in its script: signs repeated, decoded."""
    letters = [char for char in text[:SAMPLE].lower() if char.isalpha()]
    foreign = [char for char in letters if char > "\u024f"]
    script = foreign if len(foreign) * 2 > len(letters) else letters
    return len(set(script)) < LEAST_KINDS


def _said_inside(
    kind: str, text: str, language: Language, depth: int, work: _Work
) -> tuple[str, str] | None:
    for hidden in (*find_shifted(text, language), *find_rot47(text, language)):
        if hidden.letters * 2 > count_letters(text):
            return f"{hidden.kind} inside {kind}", hidden.text
    for inner in FORMS if depth < DEEPEST else ():
        match = inner.look.fullmatch(text.strip())
        said = match and _said(inner, match.group(), language, depth + 1, work)
        if said:
            return f"{said[0]} inside {kind}", said[1]
    return None


def _texts(form: Form, block: str, work: _Work) -> tuple[str, list[str]]:
    """Return the kind of a block and what it may say, likeliest first: [] for data."""
    try:
        data = form.decode(block)
    except (ValueError, OverflowError):
        return form.kind, []
    plain = unpacked(data, min(work.unpacked, MOST_UNPACKED))
    if plain is None:
        return form.kind, readings(data)
    work.unpacked -= len(plain)
    return f"compressed text inside {form.kind}", readings(plain)
