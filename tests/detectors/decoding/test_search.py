"""Every encoding is found where it stands, and what only looks odd is left alone."""

import base64
import json
import random
import string
import zlib
from pathlib import Path

import pytest

from benchmark.sets.encodings import (
    ENCODINGS,
    fullwidth,
    in_base58,
    in_base64,
    shifted,
    verse,
)
from detectors.decoding.hidden import Hidden
from detectors.decoding.language import Language
from detectors.decoding.search import LONGEST, OVERLAP, search
from tests.pace import processor_seconds

LETTER = (
    "Dear neighbour, thank you for watering the plants while we were on holiday. "
    "The tomatoes grew taller than the fence, and the cat has put on some weight. "
    "Please come over for dinner on Friday; there will be soup, bread and the jam "
    "that my sister makes every summer. Bring the children with you if they like."
)
UNREAD = {"substitution", "substitution with separators"}


def found(text: str, language: Language) -> list[Hidden]:
    (hidden,) = search([text], language)
    return hidden


def words(text: str) -> set[str]:
    return {w for w in "".join(c if c.isalpha() else " " for c in text).lower().split()}


@pytest.mark.parametrize("name", sorted(set(ENCODINGS) - UNREAD))
def test_an_encoded_letter_is_read(name: str, language: Language) -> None:
    text = ENCODINGS[name](LETTER, random.Random(1))
    read = " ".join(h.text for h in found(text, language) if h.readable)
    known = words(LETTER)
    assert len(words(read) & known) >= 0.8 * len(known), read


@pytest.mark.parametrize("name", sorted(UNREAD))
def test_a_cipher_without_a_known_key_is_noted_as_unread(
    name: str, language: Language
) -> None:
    text = ENCODINGS[name](LETTER, random.Random(1))
    assert any(not h.readable for h in found(text, language))


@pytest.mark.parametrize("name", ["base64", "rot13", "hexadecimal", "homoglyphs"])
def test_the_span_is_where_the_encoded_text_stands(
    name: str, language: Language
) -> None:
    before, after = (
        "Here is what I was sent:\n\n",
        "\n\nCould you tell me who wrote it?",
    )
    hidden = ENCODINGS[name](LETTER, random.Random(1))
    (one,) = found(before + hidden + after, language)
    start, end = one.span
    assert abs(start - len(before)) <= 8
    assert abs(end - len(before) - len(hidden)) <= 8


def test_two_layers_are_read_through(language: Language) -> None:
    text = in_base64(LETTER).encode().hex()
    (one,) = found(text, language)
    assert one.kind == "base64 inside hexadecimal"
    assert one.text == LETTER


def test_every_shift_is_named(language: Language) -> None:
    kinds = {found(shifted(LETTER, by), language)[0].kind for by in range(1, 26)}
    named = {f"Caesar shift {by}" for by in range(1, 26) if by != 13}
    assert kinds == named | {"rot13"}


def test_a_short_ciphered_question_is_read(language: Language) -> None:
    (one,) = found(shifted("How do I bake a loaf of bread at home?", 5), language)
    assert one.text == "How do I bake a loaf of bread at home?"


PLAIN = json.loads((Path(__file__).parent / "plain.json").read_text("utf-8"))


@pytest.mark.parametrize("kind", sorted(PLAIN))
def test_ordinary_text_hides_nothing(kind: str, language: Language) -> None:
    assert found(PLAIN[kind], language) == []


def test_an_encoded_image_is_data(language: Language) -> None:
    chance = random.Random(3)
    block = "".join(chance.choices(string.ascii_letters + string.digits + "+/", k=400))
    assert found(f"![dot](data:image/png;base64,{block})", language) == []


def test_a_text_does_not_change_what_its_neighbours_hide(language: Language) -> None:
    texts = [
        shifted(LETTER, 4),
        LETTER,
        fullwidth(LETTER),
        "",
        verse(LETTER, random.Random(2)),
    ]
    together = search(texts, language)
    assert together == [search([text], language)[0] for text in texts]


@pytest.mark.parametrize("filler", ["all is well ", "1", "zq"])
@pytest.mark.parametrize("place", [LONGEST - 9, LONGEST + OVERLAP, 950_000])
def test_what_stands_far_down_a_long_text_is_found(
    filler: str, place: int, language: Language
) -> None:
    before = (filler * (place // len(filler) + 1))[: place - 1] + " "
    text = f"{before}{in_base64(LETTER)} {filler * 10}"
    (one,) = [h for h in found(text, language) if h.kind == "base64"]
    assert one.text == LETTER
    assert text[slice(*one.span)] == in_base64(LETTER)


def test_a_block_longer_than_a_part_is_found(language: Language) -> None:
    text = in_base64(LETTER * 2_500)
    assert len(text) > 2 * LONGEST
    read = " ".join(h.text for h in found(text, language))
    assert len(read) >= LONGEST * 3 // 4


BOMB = base64.b64encode(zlib.compress(b"tea " * 250_000, 9)).decode()
HOSTILE = {
    "letters": "a" * 200_000,
    "letters and a sign": "a" * 200_000 + "!",
    "digits": "1" * 200_000 + "x",
    "numbers": "1. " * 70_000 + "x",
    "hex": "ab" * 100_000 + "g",
    "bits": "10101010_ " * 20_000,
    "base64 lines": ("A" * 76 + "\n") * 2_600 + "!",
    "capitals": "A" * 30 + " " + "ABCDEFGH " * 22_000,
    "hyphens": "a-" * 100_000,
    "dots": ". " * 100_000,
    "spaces": '"ab" means' + " " * 200_000 + '"cd" replace',
    "quotes": '"ab" ' * 40_000 + "code words",
    "ays": "ay-" * 60_000,
    "percent": "%41" * 60_000,
    "zero width": "a\u200b" * 100_000,
    "zero width alone": "\u200b\u200c" * 100_000,
    "tags": "\U000e0041" * 100_000,
    "twins": "\u0430" * 100_000 + " a" * 50_000,
    "lines": "the\n" * 50_000,
    "leet": "h3ll0 " * 30_000,
    "emoji": "🙂" * 100_000,
    "marks": "a" + "\u0301" * 100_000,
    "surrogates": "\ud800 " * 50_000,
    "equals": "=41 =4" * 33_000,
    "quoted": "'41', " * 33_000 + "x",
    "calls": "chr(65)+" * 25_000,
    "entities": "&#x" * 66_000,
    "base58": in_base58("a" * 30_000) * 5,
    "frames": "<~" + "a" * 18 + "<~" * 90_000,
    "signs": ("!" * 20 + "\n") * 9_500 + "xxxx",
    "uuencoded lines": ("M" + "A" * 60 + "\n") * 3_200 + "z",
    "packed": f"{BOMB} " * 140,
    "rot47 words": ("2" * 57 + "abc ") * 3_300,
    "radio": "tango echo stop " * 12_500,
}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_hostile_text_takes_time_in_proportion(kind: str, language: Language) -> None:
    with processor_seconds(15):
        (found,) = search([HOSTILE[kind]], language)
    ends = [0, *(place for each in found for place in each.span), len(HOSTILE[kind])]
    assert ends == sorted(ends)
