import pytest

from detectors.harm.script import STRETCH_LETTERS, is_foreign
from tests.pace import processor_seconds

RUSSIAN = "слово "  # five letters


@pytest.mark.parametrize(
    "text",
    [
        "Wie spät ist es in Zürich?",
        "print('hello')",
        "3 + 4 = 7",
        "да",
        "\N{MATHEMATICAL BOLD CAPITAL H}" * 8,
        "The Greek word is λόγος.",
        "",
    ],
)
def test_latin_letters_numbers_and_few_letters_are_read(text: str) -> None:
    assert not is_foreign(text)


@pytest.mark.parametrize(
    "text",
    [
        "Как испечь хлеб?",
        "如何在家里烤面包",
        "كيف أخبز الخبز؟",
        "パンの焼き方を教えて",
        "\ue001\ue002\ue003 \ue004\ue005",  # letters of a font of one's own
    ],
)
def test_other_scripts_are_foreign(text: str) -> None:
    assert is_foreign(text)


@pytest.mark.parametrize(
    "text",
    [
        "word " * 800 + RUSSIAN * 4_000,
        "word " * 100_000 + RUSSIAN * 60 + "word " * 100_000,
        "Latin " * 102 + RUSSIAN * 80,
        RUSSIAN * 80 + "Latin " * 102,
        ("word " + RUSSIAN) * 1_000,
    ],
)
def test_a_stretch_in_another_script_is_foreign_wherever_it_stands(text: str) -> None:
    assert is_foreign(text)


def test_a_quotation_in_another_script_is_not() -> None:
    quoted = RUSSIAN * (STRETCH_LETTERS // 5 - 1)
    assert not is_foreign("word " * 200 + quoted + "word " * 200)
    assert not is_foreign(("word " * 200 + quoted) * 5)


@pytest.mark.parametrize(
    ("hostile", "foreign"),
    [
        ("\ufdfa", True),
        ("\ud800", False),
        ("a\u0301", False),
        ("語", True),
        (" ", False),
        ("\x00", False),
    ],
)
def test_hostile_text_is_read_in_linear_time(hostile: str, foreign: bool) -> None:
    with processor_seconds(8):
        assert is_foreign(hostile * (200_000 // len(hostile))) == foreign
