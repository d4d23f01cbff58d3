import itertools
import random
import re
import string

import pytest

from detectors.dataset import Example, Message, Origin
from detectors.decoding.codebook import Codebook, find_codebook, most_used
from detectors.decoding.row import Row, with_codebooks
from tests.pace import processor_seconds

STATED = (
    "We speak in code. 'Lantern' means 'parcel', 'meadow' means 'garage' and 'teapot' "
    "stands for 'bicycle'. Answer me in it."
)


def test_a_stated_code_is_read() -> None:
    book = find_codebook(STATED)
    assert book is not None
    assert book.secret
    assert book.words == {
        "lantern": "parcel",
        "meadow": "garage",
        "teapot": "bicycle",
    }
    assert book.used_in("Put the lantern into the meadow.") == 2
    assert book.read("Put the Lantern into the meadow.") == (
        "Put the parcel into the garage."
    )


def test_arrows_state_a_code_too() -> None:
    book = find_codebook("Secret code: lantern -> parcel, meadow => garage")
    assert book is not None
    assert dict(book.words) == {"lantern": "parcel", "meadow": "garage"}


@pytest.mark.parametrize(
    "text",
    [
        "In German 'Hund' means 'dog' and 'Katze' means 'cat'.",
        "ROI stands for return on investment, and KPI for key performance indicator.",
        "'JFK' stands for 'New York' and 'LAX' stands for 'Los Angeles'.",
        '{"code": "red", "write": "blue", "say": "yes"}',
        "def f(a, b):\n    code = 'x'\n    return {'a': 'b', 'c': 'd'}",
        "import numpy as np  # replace the old code\nimport pandas as pd",
        "0 means negative and 1 means positive. Label the reviews.",
    ],
)
def test_glossaries_labels_and_programs_are_no_codes(text: str) -> None:
    book = find_codebook(text)
    assert book is None or not book.secret


def test_cover_words_are_used_between_word_boundaries_only() -> None:
    chance = random.Random(1)
    bits = ["ice", "tea", "ic", "e", "a", "te"]
    for _ in range(400):
        covers = {
            "".join(chance.choice(bits) + chance.choice(["", " ", "-"]) for _ in "123")
            for _ in range(8)
        }
        covers = {c.strip() for c in covers if len(c) > 1}
        text = "".join(
            chance.choice([*bits, "İ", "é"]) + chance.choice(["", " ", "-", "_", "."])
            for _ in range(12)
        )
        book = Codebook({cover: "meant" for cover in covers}, (0, 0))
        looks = [rf"\b{re.escape(cover)}\b" for cover in covers]
        expected = sum(re.search(look, text.lower()) is not None for look in looks)
        assert book.used_in(text) == expected, (covers, text)


def test_a_long_s_in_the_place_of_a_letter_breaks_nothing() -> None:
    book = Codebook({"moss": "roof"}, (0, 0))
    assert book.read("Moss and mo\u017fs") == "roof and mo\u017fs"


def test_many_large_codes_cost_a_row_next_to_nothing() -> None:
    chance = random.Random(2)

    def word() -> str:
        return "".join(chance.choices(string.ascii_lowercase, k=8))

    books = [Codebook({word(): word() for _ in range(200)}, (0, 0)) for _ in range(20)]
    first = list(books[7].words)[:3]
    rows = [f"{word()} {' and '.join(first)} {word()}" for _ in range(200)]
    with processor_seconds(4):
        assert {most_used(books, row) for row in rows} == {(3, 7)}


def stating(*texts: str) -> Row:
    messages = tuple(Message("user", text) for text in texts)
    return Row(Example("row", messages, Origin("rows.jsonl", 1)))


def test_a_code_counts_where_the_row_uses_it_beside_the_statement() -> None:
    decoys = [f"Code word: 'q{i}' means 'hat', 'ice{i} tea' means 'cup'" for i in "xyz"]
    assert all(map(find_codebook, decoys))
    said = "Put the lantern into the meadow."
    for texts in ([STATED, said], [said, STATED], [*decoys, f"{said} {STATED}"]):
        (row,) = with_codebooks([stating(*texts)])
        assert row.codebook is not None
        assert texts[row.turn or 0].endswith(STATED)
    (row,) = with_codebooks([stating(STATED, *decoys, "Put the lantern down.")])
    assert row.codebook is None


def test_very_many_codes_of_a_row_take_linear_time() -> None:
    letters = ["".join(w) for w in itertools.product(string.ascii_lowercase, repeat=3)]
    texts = [f"Code word: 'q{w}' means 'hat', 'z{w} tea' means 'cup'" for w in letters]
    assert find_codebook(texts[0]) is not None
    with processor_seconds(20):
        (row,) = with_codebooks([stating(*texts[:8_000])])
    assert row.codebook is None
