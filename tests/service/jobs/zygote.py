"""Forks service processes on demand: each costs no import, and dies by kill -9 alone.

Reads one JSON object a line, {"role": "api" | "worker", "settings": {...}, "patched":
{"module.NAME": value}}, and answers with the process id. The models and the trial are
the fakes of `fakes`, slowed down so that a kill falls into every stage; what each
process is at work on is a line in a file as it begins, and another once it is done.
"""

import hashlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

import flaky
import psycopg  # noqa: F401  # here once, not in every fork

from detectors.dataset import Dataset, Example
from detectors.detector import Scores
from detectors.moderation.moderator import Verdict
from service.api import server
from service.api.app import create_app
from service.jobs import steps, worker_command
from service.jobs.ingest import Ingest
from service.jobs.steps import Steps
from service.models import Models
from service.policy import DetectorLimits
from service.report.report import Report
from service.settings import Settings
from service.storage.datasets import Datasets
from service.telemetry.origin import origin
from tests.service.fakes import (
    MARKED,
    FakeEncoder,
    FakeRunner,
    MarkDetector,
    QuietDetector,
)
from trial.memory import FORGETFUL, Memory
from trial.recipe import Recipe
from trial.trial import Trial

logging.getLogger("dbos").addHandler(logging.NullHandler())
logging.getLogger("dbos").propagate = False

SECONDS = float(os.environ.get("TEST_STEP_SECONDS", "0.03"))
TUNE_STEPS = 8
LINGER = "LINGER IN "
"""Rows that say so, and then a stage, hold that stage up."""
LINGER_SECONDS = 0.4
FATAL = "FATAL"
"""A row that says so ends the process that scores it."""


class Log:
    """What this process is at work on, for whoever kills it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def at(self, item: str) -> Iterator[None]:
        """Note an item of work as it begins, and once it is done; not if cut off."""
        self._write(item, "begun")
        yield
        self._write(item, "done")

    def noted(self, act: Callable[..., Any], item: str) -> Callable[..., Any]:
        """Return a step that is noted, with what it is given."""

        @wraps(act)
        def step(self_: Steps, *given: object) -> Any:
            named = " ".join([item, *map(str, given if item == "moderate" else ())])
            with self.at(named):
                return act(self_, *given)

        return step

    def _write(self, item: str, what: str) -> None:
        screening = origin().get("screening_id", "-")
        line = f"{os.getpid()} {screening} {what} {item}\n".encode()
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(file, line)  # one write: lines of several processes do not mix
        os.close(file)


def says(word: str, examples: Iterable[Example]) -> bool:
    """Whether a row has that word."""
    return any(word.encode() in each.canonical() for each in examples)


def linger(
    stage: str,
    examples: Iterable[Example],
    seconds: float = SECONDS,
    longer: float = LINGER_SECONDS,
) -> None:
    """Take a while, a longer one where rows say so."""
    time.sleep(longer if says(LINGER + stage, examples) else seconds)


class SlowQuietDetector(QuietDetector):
    """A detector that takes a while."""

    def __init__(self, name: str, log: Log) -> None:
        super().__init__(name, "")
        self._log = log

    def score(self, dataset: Dataset) -> Scores:
        with self._log.at(self.name):
            time.sleep(SECONDS)
            return super().score(dataset)


class SlowMarkDetector(MarkDetector):
    """A detector that takes a while over each chunk of rows."""

    def __init__(self, name: str, log: Log) -> None:
        marks = {"explicit_harm": "BAD", "identity_shift": "PERSONA"}
        super().__init__(name, marks[name])
        self._log = log

    def score_alone(self, examples: Sequence[Example]) -> Scores:
        with self._log.at(f"{self.name} {examples[0].origin.line}"):
            if says(FATAL, examples):
                os.kill(os.getpid(), signal.SIGKILL)
            linger(self.name, examples, SECONDS / 2)
            return super().score_alone(examples)


class SlowRunner(FakeRunner):
    """A trial of several steps, each kept; what comes of it depends on every one."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def __call__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        *,
        progress: Callable[[str, int, int], None] | None = None,
        memory: Memory = FORGETFUL,
        **rest: Any,
    ) -> Trial:
        before = json.loads(memory.get("state") or b'{"step": 0, "weights": ""}')
        step, weights = before["step"], before["weights"]
        while step < TUNE_STEPS:
            with self._log.at(f"tune {step}"):
                linger("tune", dataset, longer=2 * LINGER_SECONDS)
                weights = hashlib.sha256(f"{weights} {step}".encode()).hexdigest()
                step += 1
                state = {"step": step, "weights": weights}
                memory.put("state", json.dumps(state).encode())
            if progress is not None:
                progress("tune", step, TUNE_STEPS)
        made = super().__call__(dataset, recipe, progress=progress, **rest)
        return replace(made, versions={**made.versions, "weights": weights})


class NoCache:
    """Every text is asked for each time."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Verdict]:
        return {}

    def put(self, verdicts: Mapping[bytes, Verdict]) -> None:
        pass


def read(self: Datasets, digest: str, **how: Any) -> Dataset:
    """Read a dataset, and take a while."""
    time.sleep(SECONDS)
    return READ(self, digest, **how)


def compose(dataset: Dataset, *rest: Any) -> Report:
    """Compose a report, and take a while."""
    linger("report", dataset, longer=4 * LINGER_SECONDS)
    return COMPOSE(dataset, *rest)


READ, COMPOSE = Datasets.read, steps.compose_report


def prepare(log: Log, patched: Mapping[str, object]) -> None:
    """Have this process note its steps, take a while over each, and as was asked."""
    Datasets.read = read  # type: ignore[method-assign, assignment]
    steps.compose_report = compose
    Ingest.fetch = log.noted(Ingest.fetch, "fetch")  # type: ignore[method-assign]
    Steps.ingest = log.noted(Steps.ingest, "read")  # type: ignore[method-assign]
    Steps.moderate = log.noted(Steps.moderate, "moderate")  # type: ignore[method-assign]
    Steps.conclude = log.noted(Steps.conclude, "report")  # type: ignore[method-assign]
    worker_command.load_cache = lambda settings: NoCache()
    for path, value in patched.items():
        module, name = path.rsplit(".", 1)
        setattr(import_module(module), name, value)


def serve(role: str, settings: Settings, patched: Mapping[str, object]) -> None:
    """Be the API, or a worker, until killed."""
    log = Log(settings.data_dir / "work.log")
    prepare(log, patched)
    detectors = tuple(
        (SlowMarkDetector if name in MARKED else SlowQuietDetector)(name, log)
        for name in DetectorLimits.model_fields
    )
    models = Models(FakeEncoder(), detectors)  # type: ignore[arg-type]
    runner = SlowRunner(log)
    if role == "api":
        app = create_app(settings, load=lambda: models, runner=runner)
        server.serve(app, settings, log_level="error")
    else:
        make = worker_command.make_worker
        parts = {"load": lambda: models, "runner": runner}
        worker_command.make_worker = lambda backend: make(backend, **parts)
        worker_command.work(settings)


def fork(asked: Mapping[str, Any]) -> int:
    """Return the id of a new process in the role asked for."""
    child = os.fork()
    if child:
        return child
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        serve(asked["role"], Settings(**asked["settings"]), asked["patched"])
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
        say(str(fork(json.loads(line))))


if __name__ == "__main__":
    main()
