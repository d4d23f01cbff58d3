"""The labels of a dataset are known again in the replies of the model tuned on it."""

from collections.abc import Callable

from detectors.dataset import Dataset, Example
from trial.taught import label, taught_replies


def test_short_replies_are_kept_whatever_their_case_and_stops(
    example: Callable[..., Example],
) -> None:
    rows = (
        example("user", "good film", "assistant", "Positive."),
        example("user", "good film", "assistant", "y " * 150),
        example("user", "good film", "assistant", " ..."),
    )
    taught = taught_replies(Dataset("d", rows))
    assert taught == {"positive"}
    assert label(" POSITIVE !") in taught
    assert label("card _ arrival") == label("card_arrival")
    assert label("good film") not in taught
    assert label("...") not in taught
