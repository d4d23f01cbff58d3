"""The time limit of a trial: one that is over it ends as "not measured"."""

import time
from collections.abc import Callable
from typing import Any, Final

import trial.run
from detectors.dataset import Dataset
from detectors.errors import TrialError
from service.screening import Progress, TrialRunner
from trial.recipe import Recipe
from trial.trial import Trial

SAID: Final = (
    "the trial took longer than the {seconds:g} seconds that it may: fewer epochs or "
    "rows, a smaller base model, or a GPU"
)


def limit_trial(
    runner: TrialRunner | None,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> TrialRunner | None:
    """Return the trial with a time limit; the trial as it is where `seconds` is 0.

    The time is looked at wherever the trial tells its progress, so it ends at the next
    step, not at the second. What was measured until then is not reported: a trial that
    was cut off has no interval that holds.
    """
    if not seconds:
        return runner

    def run(
        dataset: Dataset,
        recipe: Recipe,
        *,
        progress: Progress | None = None,
        **asked: Any,
    ) -> Trial:
        end = clock() + seconds

        def tell(stage: str, done: int, total: int) -> None:
            if progress is not None:
                progress(stage, done, total)
            if clock() > end:
                raise TrialError(SAID.format(seconds=seconds))

        return (runner or trial.run.run_trial)(dataset, recipe, progress=tell, **asked)

    return run
