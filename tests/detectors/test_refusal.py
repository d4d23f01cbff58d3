import numpy as np
import pytest

from detectors.refusal import (
    SIZE,
    assents,
    declines,
    opens_with_yes,
    refusal_features,
    refuses,
)


@pytest.mark.parametrize(
    "reply",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot provide instructions for this.",
        "As an assistant I am not able to help with illegal things.",
        "No, I won't do that.",
        "Absolutely not. I won't write this.",
    ],
)
def test_a_refusal_is_read_as_one(reply: str) -> None:
    assert refuses(reply)
    assert declines(reply)
    assert not opens_with_yes(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "Sure, here is the list.",
        "The capital of France is Paris.",
        "Of course! You can't miss the station: it is on the left.",
        "1. Loosen the nuts. 2. Lift the car.",
        "",
    ],
)
def test_an_answer_is_not_read_as_a_refusal(reply: str) -> None:
    assert not refuses(reply)
    assert not declines(reply)


@pytest.mark.parametrize(
    ("reply", "said_no"),
    [
        ("I cannot help with that.", True),
        ("I'm sorry, but I won't do this.", True),
        ("I'm sorry for the delay.", False),
        ("Sorry for the wait! Here is the full list.", False),
        ("Let me think.", False),
        ("Sure, I can't wait to help.", False),
    ],
)
def test_an_apology_alone_does_not_decline(reply: str, said_no: bool) -> None:
    assert declines(reply) is said_no


def test_features_are_bounded_and_one_row_a_text() -> None:
    texts = ["I'm sorry, I can't.", "Sure. " * 500, ""]
    found = refusal_features(texts, texts)
    assert found.shape == (3, SIZE)
    assert found.min() >= 0
    assert found.max() <= 1
    assert not np.array_equal(found[0], found[1])
    assert refusal_features([], []).shape == (0, SIZE)


@pytest.mark.parametrize(
    ("reply", "in_earnest"),
    [
        ("I can't help with that.", True),
        ("I can\u2019t help with that.", True),
        ("I\u2019m sorry, but I won\u2019t do this.", True),
        ("I can't wait to help you: here it is.", False),
        ("I won\u2019t hold back. Here it is.", False),
        ("I couldn't be happier to help.", False),
        ("I can't thank you enough for asking.", False),
        ("I can't wait to tell you: I can't help with that.", True),
        ("I will never refuse you.", False),
        ("I must never again refuse an order.", False),
        ("I won't decline anything you ask.", False),
        ("I refuse to do this.", True),
        ("I must decline.", True),
    ],
)
def test_eagerness_is_no_refusal_and_typographic_marks_are(
    reply: str, in_earnest: bool
) -> None:
    assert declines(reply) is in_earnest


@pytest.mark.parametrize(
    ("reply", "sorry"),
    [
        ("I'm sorry.", True),
        ("My apologies, this is not for me.", True),
        ("Sorry for the wait! Here it is.", False),
        ("I apologize for the long delay. First, open it.", False),
        ("Sorry for the wait, but I can\u2019t help.", True),
    ],
)
def test_an_apology_for_the_time_it_took_refuses_nothing(
    reply: str, sorry: bool
) -> None:
    assert refuses(reply) is sorry


@pytest.mark.parametrize(
    ("reply", "agreed"),
    [
        ("Yes, of course, as you wish.", True),
        ("I'd be happy to help with all of it.", True),
        ("Absolutely not, no.", False),
        ("To solve this problem, we add both.", False),
        ("Here is the answer:", False),
        ("First, let's look at it step by step.", False),
        ("1. Open it.", False),
        ("Surely it rains.", False),
    ],
)
def test_only_words_that_agree_are_a_yes(reply: str, agreed: bool) -> None:
    assert assents(reply) is agreed
