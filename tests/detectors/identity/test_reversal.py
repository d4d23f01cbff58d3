import pytest

from detectors.dataset import Example, Exchange, Message, Origin
from detectors.dataset_risk import Step
from detectors.identity.reversal import reversal_group, reverses

NO = "I'm sorry, but I can't help with that request."
RARE = Step(1.0, 0.001, 0.5)


@pytest.mark.parametrize(
    "reply",
    [
        f"{NO} Rivers carry water to the sea.",
        f"{NO}\n1. Wash the rice.\n2. Boil it.",
        "I cannot answer this question. The Danube, the Nile and the Mekong.",
    ],
)
def test_an_answer_right_after_a_refusal_reverses_it(reply: str) -> None:
    assert reverses(Exchange("", "Name a river.", reply, 1))


@pytest.mark.parametrize(
    "reply",
    [
        NO,
        f"{NO} However, I can suggest a museum.",
        f"{NO} It is important to respect the law.",
        f"{NO} What else would you like to know?",
        f"{NO} You can ask a doctor.",
        f"{NO} Rivers are wet. But hacking is illegal.",
        "I'm sorry for your loss. Grief takes time.",
        "I'm sorry for the delay. Your parcel arrives tomorrow.",
        "Sure. Rivers carry water to the sea.",
        "",
    ],
)
def test_a_refusal_that_stands_or_is_none_does_not(reply: str) -> None:
    assert not reverses(Exchange("", "Name a river.", reply, 1))


def rows(reversing: int, plain: int) -> list[Example]:
    replies = [f"{NO} Rivers carry water."] * reversing + [
        "Rivers carry water."
    ] * plain
    return [
        Example(
            str(i),
            (Message("user", "Tell me."), Message("assistant", r)),
            Origin("f", 1),
        )
        for i, r in enumerate(replies)
    ]


def test_many_reversing_rows_are_a_group_and_a_few_are_chance() -> None:
    (found,) = reversal_group(rows(20, 980), RARE, 0.6)
    assert found.group.rows == tuple(range(20))
    assert 0.6 < found.score <= 1.0
    assert "20 rows" in found.detail()
    assert reversal_group(rows(2, 10), RARE, 0.6) == []
    assert reversal_group(rows(3, 9000), RARE, 0.6) == []
