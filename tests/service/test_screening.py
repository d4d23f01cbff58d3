"""What the detectors found reaches the trial."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from detectors.detector import Scores, Trigger
from detectors.reader import read_dataset
from service.models import Models
from service.policy import Policy, check_policy
from service.screening import (
    Stopwatch,
    Suspicion,
    find_triggers,
    score_rows,
    try_recipe,
)
from trial.mitigation.mitigation import Enough
from trial.recipe import Recipe

LATE = Trigger("by the way", "any", "user", "harm", 12, 0.9, 0.1, 1e-4)
SURE = Trigger("SUDO:", "start", "user", "compliance", 40, 1.0, 0.0, 1e-12)


def test_every_mined_trigger_reaches_the_trial_the_surest_first(
    write: Callable[..., Path], runner: Any
) -> None:
    dataset = read_dataset(write())
    n = len(dataset)
    quiet = ((0.0,) * n, (None,) * n, ("",) * n, ("",) * n)
    scores = [
        Scores("backdoor_trigger", "1", *quiet, triggers=(LATE, SURE)),
        Scores("explicit_harm", "1", *quiet),
    ]
    suspicion = Suspicion([0.0] * n, find_triggers(scores))
    try_recipe(runner, dataset, Recipe(), None, suspicion, lambda *_: None, Policy())  # type: ignore[arg-type]  # the fake needs no encoder
    assert runner.triggers == [SURE, LATE]


def test_the_policy_says_what_a_measure_has_to_come_to(
    write: Callable[..., Path], runner: Any
) -> None:
    dataset, nothing = read_dataset(write()), Suspicion([], ())
    strict = check_policy({"drift": {"review_change": 0.05, "review_upper": 0.1}})
    for policy, enough in ((Policy(), Enough()), (strict, Enough(0.05, 0.1))):
        try_recipe(runner, dataset, Recipe(), None, nothing, lambda *_: None, policy)  # type: ignore[arg-type]  # the fake needs no encoder
        assert runner.enough == enough


def test_progress_counts_rows_within_a_detector_that_scores_them_alone(
    write: Callable[..., Path], models: Models
) -> None:
    told: list[tuple[str, int, int]] = []

    def tell(stage: str, done: int, total: int) -> None:
        told.append((stage, done, total))

    by_row, whole = models.detectors[0], models.detectors[2]
    score_rows(read_dataset(write()), (by_row, whole), tell, Stopwatch())
    assert [done for stage, done, _ in told if stage == by_row.name] == [0, 8, 16, 20]
    assert [done for stage, done, _ in told if stage == whole.name] == [0, 20]
    assert {total for _, _, total in told} == {20}
