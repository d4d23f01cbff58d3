"""Baselines are kept by everything they depend on, and not without bound."""

from collections.abc import Iterator

import pytest

from trial.baseline import KEPT, baseline_replies, forget_baselines


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    forget_baselines()
    yield
    forget_baselines()


class Speaker:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> list[str]:
        self.asked += 1
        return [f"reply {self.asked}"]


def test_the_same_key_is_asked_once() -> None:
    speaker = Speaker()
    assert baseline_replies(("a", "b"), speaker) == ("reply 1",)
    assert baseline_replies(("a", "b"), speaker) == ("reply 1",)
    assert baseline_replies(("a", "c"), speaker) == ("reply 2",)


def test_the_oldest_unused_baseline_goes_first() -> None:
    speaker = Speaker()
    for number in range(KEPT):
        baseline_replies((str(number),), speaker)
    baseline_replies(("0",), speaker)
    baseline_replies(("new",), speaker)
    asked = speaker.asked
    baseline_replies(("0",), speaker)
    assert speaker.asked == asked
    baseline_replies(("1",), speaker)
    assert speaker.asked == asked + 1
