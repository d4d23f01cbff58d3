import pytest

from detectors.decoding.codebook import find_codebook

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
        '{"code": "red", "write": "blue", "say": "yes"}',
        "def f(a, b):\n    code = 'x'\n    return {'a': 'b', 'c': 'd'}",
        "import numpy as np  # replace the old code\nimport pandas as pd",
        "0 means negative and 1 means positive. Label the reviews.",
    ],
)
def test_glossaries_labels_and_programs_are_no_codes(text: str) -> None:
    book = find_codebook(text)
    assert book is None or not book.secret
