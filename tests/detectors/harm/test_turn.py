import pytest

from detectors.dataset import Example, Message, Origin
from detectors.harm.turn import is_foreign, turns_of


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
    ],
)
def test_other_scripts_are_foreign(text: str) -> None:
    assert is_foreign(text)


def test_a_turn_knows_what_was_asked_before_it() -> None:
    row = Example(
        "row",
        (
            Message("user", "first"),
            Message("assistant", ""),
            Message("user", "second"),
            Message("assistant", "yes"),
            Message("user", "third"),
            Message("assistant", "no"),
        ),
        Origin("rows.jsonl", 1),
    )
    found = turns_of(3, row)
    assert [(t.example, t.request, t.reply) for t in found] == [
        (3, "second", "yes"),
        (3, "third", "no"),
    ]
    assert [t.asked_before for t in found] == [("first",), ("first", "second")]
