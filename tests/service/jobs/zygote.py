"""Forks service processes on demand: each costs no import, and dies by kill -9 alone.

Reads one JSON object a line, {"role": "api" | "worker", "settings": {...}}, and answers
with the process id. The models and the trial are the fakes of `conftest`, slowed down
so that a kill falls into every stage.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import flaky
from conftest import MARKED, FakeEncoder, FakeRunner, MarkDetector, QuietDetector

from detectors.dataset import Dataset, Example
from detectors.detector import Scores
from service.api import server
from service.api.app import create_app
from service.jobs import worker_command
from service.models import Models
from service.policy import DetectorLimits
from service.settings import Settings
from trial.recipe import Recipe
from trial.trial import Trial

SECONDS = float(os.environ.get("TEST_STEP_SECONDS", "0.03"))
TUNE_STEPS = 8


class SlowQuietDetector(QuietDetector):
    """A detector that takes a while."""

    def score(self, dataset: Dataset) -> Scores:
        time.sleep(SECONDS)
        return super().score(dataset)


class SlowMarkDetector(MarkDetector):
    """A detector that takes a while over each chunk of rows."""

    def score_alone(self, examples: Sequence[Example]) -> Scores:
        time.sleep(SECONDS / 2)
        return super().score_alone(examples)


def detector(name: str) -> QuietDetector:
    """Return the stand-in for a detector."""
    if name not in MARKED:
        return SlowQuietDetector(name, "")
    marks = {"explicit_harm": "BAD", "identity_shift": "PERSONA"}
    return SlowMarkDetector(name, marks[name])


class SlowRunner(FakeRunner):
    """A trial of several steps; a line in a file for each that begins and ends."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self._log = log

    def __call__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        *,
        progress: Callable[[str, int, int], None] | None = None,
        **rest: Any,
    ) -> Trial:
        self._note("begun", dataset)
        for step in range(TUNE_STEPS):
            time.sleep(SECONDS)
            if progress is not None:
                progress("tune", step, TUNE_STEPS)
        made = super().__call__(dataset, recipe, progress=progress, **rest)
        self._note("ended", dataset)
        return made

    def _note(self, what: str, dataset: Dataset) -> None:
        with self._log.open("a") as file:
            file.write(f"{what} {dataset.name}\n")


def serve(role: str, settings: Settings) -> None:
    """Be the API, or a worker, until killed."""
    models = Models(FakeEncoder(), tuple(map(detector, DetectorLimits.model_fields)))  # type: ignore[arg-type]
    runner = SlowRunner(settings.data_dir / "tuned.log")
    if role == "api":
        app = create_app(settings, load=lambda: models, runner=runner)
        server.serve(app, settings, log_level="error")
    else:
        make = worker_command.make_worker
        parts = {"load": lambda: models, "runner": runner}
        worker_command.make_worker = lambda backend: make(backend, **parts)
        worker_command.work(settings)


def fork(role: str, settings: Settings) -> int:
    """Return the id of a new process in that role."""
    child = os.fork()
    if child:
        return child
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        serve(role, settings)
    finally:
        os._exit(1)


def say(text: str) -> None:
    """Write a line that is read at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Fork as told, until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead leave no zombie behind
    flaky.register()
    say("ready")
    for line in sys.stdin:
        asked = json.loads(line)
        say(str(fork(asked["role"], Settings(**asked["settings"]))))


if __name__ == "__main__":
    main()
