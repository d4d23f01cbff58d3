"""What the detectors found reaches the trial."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from detectors.detector import Scores, Trigger
from detectors.reader import read_dataset
from service.policy import Policy
from service.screening import Suspicion, find_triggers, try_recipe
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
