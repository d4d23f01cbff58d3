import pytest

from detectors.dataset import Example, Message, Origin
from detectors.harm.turn import Turn, is_foreign, turns_of


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


def turns(*messages: tuple[str, str]) -> list[Turn]:
    said = tuple(Message(role, text) for role, text in messages)  # type: ignore[arg-type]
    return turns_of(0, Example("row", said, Origin("rows.jsonl", 1)))


def others(turn: Turn) -> list[tuple[str, int]]:
    return [(asked.text, asked.turn) for asked in turn.others]


def test_one_exchange_without_a_system_message_has_no_other_request() -> None:
    (only,) = turns(("user", "asked"), ("assistant", "yes"))
    assert only.others == ()


def test_a_reply_may_answer_the_system_text_and_earlier_requests() -> None:
    one, two = turns(
        ("system", "told"),
        ("system", "more"),
        ("user", "first"),
        ("assistant", "Sorry for the wait. Let me think."),
        ("user", "go on"),
        ("assistant", "yes"),
    )
    assert others(one) == [("told\nmore", 0)]
    assert others(two) == [("told\nmore", 0), ("first", 2)]


def test_what_was_declined_is_not_answered_later() -> None:
    _, two = turns(
        ("system", "told"),
        ("user", "first"),
        ("assistant", "I cannot help with that."),
        ("user", "second"),
        ("assistant", "yes"),
    )
    assert others(two) == []


def test_a_system_message_counts_from_where_it_stands() -> None:
    one, two = turns(
        ("user", "first"),
        ("assistant", "I cannot help with that."),
        ("system", "told"),
        ("user", "second"),
        ("assistant", "yes"),
    )
    assert others(one) == []
    assert others(two) == [("told", 2)]


def test_a_second_reply_answers_the_same_request() -> None:
    one, two, three = turns(
        ("user", "first"),
        ("assistant", "I cannot help with that."),
        ("assistant", "But see here:"),
        ("user", "second"),
        ("assistant", "yes"),
    )
    assert (one.request, two.request) == ("first", "first")
    assert two.asked_before == ()
    assert others(three) == [("first", 0)]
