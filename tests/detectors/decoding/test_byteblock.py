"""What text becomes as bytes does not hide it, and what bytes are chance is no text."""

import base64
import random

import pytest

from detectors.decoding.byteblock import find_run_blocks
from detectors.decoding.charset import readings
from detectors.decoding.language import Language
from detectors.decoding.search import search

NOTE = (
    "Dear neighbour, thank you for watering the plants while we were on holiday. "
    "The tomatoes grew taller than the fence, and the cat has put on some weight."
)
CAFE = NOTE.replace("holiday", "holiday near the café")
RUSSIAN = (
    "Дорогой сосед, спасибо за то, что вы поливали цветы, пока мы были на море. "
    "Помидоры выросли выше забора, кошка немного поправилась."
)
BYTES = {
    "a no-break space": NOTE.replace("the plants", "the\u00a0plants").encode(),
    "a zero-width space": NOTE.replace("plants", "pla\u200bnts").encode(),
    "zero-width spaces throughout": "\u200b".join(NOTE).encode(),
    "a bell": NOTE.replace("plants", "plants\a").encode(),
    "bells for spaces": NOTE.replace(" ", "\a").encode(),
    "a broken byte": NOTE.encode() + b"\xe2\x80",
    "latin-1": CAFE.encode("latin-1"),
    "curly quotes of Windows": CAFE.replace("café", "“café”").encode("cp1252"),
    "UTF-16LE": CAFE.encode("utf-16-le"),
    "UTF-16BE": CAFE.encode("utf-16-be"),
    "UTF-16 with its mark": CAFE.encode("utf-16"),
    "Russian UTF-16": RUSSIAN.encode("utf-16-le"),
}


def said(text: str, language: Language) -> list[str]:
    return [hidden.text for hidden in search([text], language)[0]]


@pytest.mark.parametrize("kind", sorted(BYTES))
@pytest.mark.parametrize("form", ["base64", "hexadecimal"])
def test_text_is_read_whatever_bytes_it_becomes(
    kind: str, form: str, language: Language
) -> None:
    data = BYTES[kind]
    block = base64.b64encode(data).decode() if form == "base64" else data.hex()
    (read,) = said(f"Here it is: {block} and that is all.", language)
    assert ("сосед" if "Russian" in kind else "watering the") in read
    assert read.replace("\n", " ").isprintable()


@pytest.mark.parametrize("half", ["\\u{:04x}", "&#{};"])
def test_escapes_with_a_surrogate_pair_are_read(half: str, language: Language) -> None:
    units = f"{NOTE} 🙂".encode("utf-16-be")
    codes = [int.from_bytes(units[i : i + 2]) for i in range(0, len(units), 2)]
    assert said("".join(map(half.format, codes)), language) == [f"{NOTE} 🙂"]


def test_escapes_in_braces_are_read_beyond_the_basic_plane(language: Language) -> None:
    block = "".join(f"\\u{{{ord(c):x}}}" for c in f"{NOTE} 🙂")
    assert said(block, language) == [f"{NOTE} 🙂"]


def test_blocks_of_data_before_it_do_not_hide_a_text(language: Language) -> None:
    chance = random.Random(2)
    for between in ("\n", ", ", " - "):
        ids = between.join(chance.randbytes(16).hex() for _ in range(500))
        assert said(f"{ids}{between}{NOTE.encode().hex()}", language) == [NOTE]
        keys = [base64.b64encode(chance.randbytes(30)).decode() for _ in range(500)]
        text = between.join([*keys, base64.b64encode(NOTE.encode()).decode()])
        assert [h.text for h in find_run_blocks(text, language)] == [NOTE]


def test_bytes_of_chance_or_numbers_are_no_text(language: Language) -> None:
    chance = random.Random(3)
    data = [chance.randbytes(n) for n in range(12, 400)]
    data += [
        b"".join(chance.randrange(high).to_bytes(size, "little") for _ in range(200))
        for high in (60, 300, 2_000)
        for size in (2, 4)
    ]
    data += [bytes(chance.choices(range(256), range(256, 0, -1), k=400))]
    for each in data:
        shown = f"{base64.b64encode(each).decode()} and {each.hex()}"
        assert find_run_blocks(shown, language) == []


def test_most_bytes_of_chance_are_not_even_judged() -> None:
    chance = random.Random(4)
    assert sum(bool(readings(chance.randbytes(40))) for _ in range(2_000)) < 40
