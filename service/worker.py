"""Worker: one thread that screens what is queued; every failure is stored."""

import json
import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from detectors.dataset import Dataset
from detectors.errors import TunegateError
from detectors.moderation.moderator import Moderator
from detectors.moderation.off import Off
from detectors.reader import Limits, read_dataset, read_rows
from service.models import Models
from service.policy import Policy
from service.screening import TrialRunner, screen
from service.store import ROWS, UPLOAD, Fault, Store
from trial.recipe import Recipe

log = logging.getLogger(__name__)

FAULT_CHARS: Final = 1_000


class QueueFull(Exception):
    """As many screenings wait as are allowed to."""


class Cancelled(Exception):
    """The screening was deleted, or the service stops."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to screen, and how. The file lies in the screening's folder."""

    screening_id: str
    name: str
    policy: Policy
    recipe: Recipe
    run_trial: bool


class Worker:
    """Loads the models once, then screens one job after the other."""

    def __init__(
        self,
        store: Store,
        *,
        load: Callable[[], Models],
        limits: Limits,
        max_queued: int = 16,
        runner: TrialRunner | None = None,
        moderator: Callable[[Models], Moderator] | None = None,
    ) -> None:
        self.models: Models | None = None
        self.fault = ""
        self._store = store
        self._load = load
        self._limits = limits
        self._runner = runner
        self._load_moderator = moderator
        self._moderator: Moderator = Off()
        self._max_queued = max_queued
        self._waiting: deque[Job] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)

    def start(self) -> None:
        """Start the thread; the models load in it."""
        self._thread.start()

    def stop(self, seconds: float = 30.0) -> None:
        """Cancel what runs and wait for the thread at most that long."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(seconds)

    @property
    def full(self) -> bool:
        """Whether a further job would be refused."""
        return len(self._waiting) >= self._max_queued

    def submit(self, job: Job) -> None:
        """Queue a job; QueueFull where too many wait."""
        with self._wake:
            if self.full:
                raise QueueFull
            self._waiting.append(job)
            self._wake.notify()

    def drop(self, screening_id: str) -> None:
        """Take a job that still waits out of the queue."""
        with self._wake:
            left = [job for job in self._waiting if job.screening_id != screening_id]
            self._waiting = deque(left)

    def _work(self) -> None:
        try:
            models = self._load()
            if self._load_moderator is not None:
                self._moderator = self._load_moderator(models)
            self.models = models
        except Exception as error:
            self.fault = explain(error).message
        while (job := self._next()) is not None:
            self._run(job)

    def _next(self) -> Job | None:
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._stopping)
            return None if self._stopping else self._waiting.popleft()

    def _run(self, job: Job) -> None:
        try:
            if self._store.start(job.screening_id):
                self._screen(job)
        except Cancelled:
            log.info("screening %s cancelled", job.screening_id)
        except Exception as error:
            self._store.fail(job.screening_id, explain(error))

    def _screen(self, job: Job) -> None:
        if self.models is None:
            fault = Fault("models_unavailable", self.fault)
            self._store.fail(job.screening_id, fault)
            return

        def progress(stage: str, done: int, total: int) -> None:
            listed = self._store.move(job.screening_id, stage, done, total)
            if self._stopping or not listed:
                raise Cancelled

        progress("read", 0, 1)
        dataset = self._read(job)
        report = screen(
            dataset,
            policy=job.policy,
            recipe=job.recipe,
            detectors=self.models.detectors,
            encoder=self.models.encoder,
            run_trial=job.run_trial,
            progress=progress,
            runner=self._runner,
            moderator=self._moderator,
        )
        self._store.finish(job.screening_id, report.decision.outcome, report.to_json())

    def _read(self, job: Job) -> Dataset:
        folder: Path = self._store.folder(job.screening_id)
        rows = folder / ROWS
        if rows.exists():
            parsed = json.loads(rows.read_text("utf-8"))
            return read_rows(parsed, name=job.name, limits=self._limits)
        return read_dataset(folder / UPLOAD, limits=self._limits, name=job.name)


def explain(error: Exception) -> Fault:
    """Say what went wrong; the words of unforeseen errors may quote rows, so go."""
    if isinstance(error, TunegateError):
        return Fault(type(error).__name__, str(error)[:FAULT_CHARS])
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("unforeseen %s\n%s", type(error).__name__, frames)
    kind = type(error).__name__
    return Fault("internal_error", f"The screening failed unforeseen ({kind}).")
