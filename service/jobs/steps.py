"""Steps: what is done to one screening, each of them made durable by `workflow`.

A step reads what earlier ones left in the object store and leaves its own there; what
it returns is small, plain JSON without content, for that is what the queue's database
keeps. A step may run twice (a crash before its checkpoint): it then leaves the same
again. One that takes long keeps its own parts, and goes on behind the last (`scoring`).
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final

from sqlalchemy.exc import DBAPIError

from detectors.dataset import Dataset
from detectors.detector import Scores
from detectors.errors import ModelError
from detectors.moderation.moderator import Moderator, Usage, add_usage
from detectors.moderation.rows import RowModeration, RowVerdict, moderate_rows
from detectors.reader import Limits
from service.certificate import certify
from service.envelope import Signer
from service.gate import Facts
from service.jobs.scoring import KeptChunks, Timed, TimedScores
from service.models import Models
from service.moderation import Moderated, choose_rows, gather
from service.screening import (
    Heard,
    Suspicion,
    TrialRunner,
    compose_report,
    find_triggers,
    rank_rows,
    score_dataset,
    time_stages,
    try_recipe,
)
from service.sources import Sources
from service.storage.checkpoint import Checkpoints, TrialMemory
from service.storage.queue import Queue
from service.storage.screening import Fault, Job
from service.storage.stages import READ, REPORT, TRIAL
from service.storage.store import Store
from service.telemetry.telemetry import Telemetry
from trial.trial import Trial

MODERATION_BATCH: Final = 500
"""Rows moderated between two checkpoints: what a crash can cost twice."""

TELL_SECONDS: Final = 0.5
"""Between two notes of how far a step is, and looks whether it should go on."""

CHANGED: Final = "the moderation provider was changed meanwhile"

log = logging.getLogger(__name__)

LoadModerator = Callable[[Models, Usage], Moderator]


class Abandoned(BaseException):
    """The process stops.

    No Exception, so that nothing takes it for a failure: the queue keeps no result, and
    the step runs again elsewhere.
    """


class Gone(Exception):
    """The screening was deleted, or is over: nothing is left to do."""


class Unfit(Exception):
    """The screening cannot be done here; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Equipment:
    """What steps work with, the same for every screening of a process.

    `models` waits until they are loaded; Unfit where they cannot be, Abandoned where
    the process stops first. Without a `signer` certificates are not signed.
    """

    store: Store
    sources: Sources
    queue: Queue
    models: Callable[[], Models]
    load_moderator: LoadModerator
    limits: Limits
    runner: TrialRunner | None
    stopping: Callable[[], bool]
    telemetry: Telemetry = field(default_factory=Telemetry)
    signer: Signer | None = None


@dataclass(frozen=True, slots=True)
class TimedBatch(Timed):
    """What moderation said of one batch of rows."""

    said: RowModeration


@dataclass(frozen=True, slots=True)
class TimedTrial(Timed):
    """What came of the trial."""

    trial: Trial


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: fixed at the start, whoever goes on with it later."""

    detectors: tuple[str, ...]
    run_trial: bool
    name: str
    model: str


class Steps:
    """The steps of one screening in this process; what they read is read once."""

    def __init__(self, equipment: Equipment, screening_id: str) -> None:
        self._has = equipment
        self._id = screening_id
        self._kept = Checkpoints(equipment.store.objects, screening_id)
        self._memory = TrialMemory(equipment.store.objects, screening_id)
        self._scores: dict[str, TimedScores] = {}
        self._told = ("", 0.0)

    def ingest(self) -> dict[str, object]:
        """Read the dataset, and fix what is to be done; DatasetError as the reader."""
        self._check()
        models = self._has.models()
        if not self._has.store.start(self._id):
            raise Gone
        self._check()
        self.tell(READ, 0, 1)
        job, dataset = self._job, self._dataset
        self.tell(READ, len(dataset), len(dataset))
        moderator = self._has.load_moderator(models, Usage())
        plan = Plan(
            detectors=tuple(each.name for each in models.detectors),
            run_trial=job.order.run_trial,
            name=moderator.name,
            model=moderator.model,
        )
        self._keep("facts", Facts.of(dataset))
        self._keep("plan", plan)
        return {
            "rows": len(dataset),
            "fingerprint": dataset.fingerprint,
            "detectors": list(plan.detectors),
            "run_trial": plan.run_trial,
            "priority": job.order.priority,
        }

    def detect(self, name: str) -> dict[str, object]:
        """Let one detector score the dataset: the whole, for some compare its rows.

        What it says of a chunk of rows is kept, where it first scores each row alone.
        """
        self._check()
        models, rows = self._has.models(), len(self._dataset)
        detector = next((d for d in models.detectors if d.name == name), None)
        if detector is None:
            raise ModelError(f"this process has no detector {name!r}: submit again")
        chunks = KeptChunks(self._kept, self._keep)
        began = time.perf_counter()
        scores = score_dataset(detector, self._dataset, self.tell, chunks.score)
        seconds = time.perf_counter() - began + chunks.seconds_before
        made = TimedScores(seconds, scores)
        self._keep(f"scores-{name}", made)
        self._scores[name] = made
        self.tell(name, rows, rows)
        return {"version": scores.version}

    def count_batches(self) -> dict[str, object]:
        """Count the batches of rows that the policy sends out."""
        self._check()
        return {"batches": -(-sum(self._chosen) // MODERATION_BATCH)}

    def moderate(self, batch: int) -> dict[str, object]:
        """Have one batch of rows moderated, within what is left of the budget."""
        self._check()
        part = range(batch * MODERATION_BATCH, (batch + 1) * MODERATION_BATCH)
        sent = [
            row for row, out in zip(self._dataset, self._chosen, strict=True) if out
        ]
        examples = [sent[place] for place in part if place < len(sent)]
        spent = add_usage([each.said.usage for each in self._batches(batch)])
        moderator = self._has.load_moderator(self._has.models(), spent)
        began, plan = time.perf_counter(), self._plan
        if (moderator.name, moderator.model) != (plan.name, plan.model):
            said = RowModeration((RowVerdict(None, CHANGED),) * len(examples), Usage())
        else:
            said = moderate_rows(moderator, examples, progress=self.tell)
        made = TimedBatch(time.perf_counter() - began, said)
        for result, count in _results(said).items():
            self._has.telemetry.metrics.moderated_rows.labels(result).inc(count)
        self._keep(f"moderation-{batch}", made)
        return {"rows": len(said.rows), "requests": said.usage.requests}

    def try_out(self, batches: int) -> dict[str, object]:
        """Run the trial; one that was cut off goes on from its own last checkpoint."""
        self._check()
        self.tell(TRIAL, 0, 1)
        order, dataset = self._job.order, self._dataset
        encoder = self._has.models().encoder
        moderated = self._moderated(batches)
        suspicion = Suspicion(
            rank_rows(order.policy, dataset, self._all_scores, moderated),
            find_triggers(self._all_scores),
        )
        began = time.perf_counter()
        done = try_recipe(
            self._has.runner,
            dataset,
            order.recipe,
            encoder,
            suspicion,
            self.tell,
            order.policy,
            self._memory,
        )
        made = TimedTrial(time.perf_counter() - began, done)
        self._has.telemetry.metrics.count_trial(
            measured=done.measured,
            seconds=made.seconds,
            device=done.versions.get("device", ""),
        )
        self._keep("trial", made)
        self._memory.clear()
        return {"measured": done.measured, "rows_trained": done.rows_trained}

    def conclude(self, batches: int) -> dict[str, object]:
        """Decide, write the report and end the screening."""
        self._check()
        self.tell(REPORT, 0, 1)
        order, dataset = self._job.order, self._dataset
        tried = self._kept.get("trial", TimedTrial) if self._plan.run_trial else None
        done = None if tried is None else tried.trial
        heard = Heard(self._all_scores, self._moderated(batches), done)
        report = compose_report(
            dataset,
            order.policy,
            order.recipe,
            self._has.models().encoder,
            heard,
            time_stages(
                datetime.fromisoformat(self._job.started_at),
                self._seconds(batches, tried),
                done,
            ),
        )
        self.tell(REPORT, 1, 1)
        outcome = report.decision.outcome
        content = report.to_json().encode()
        certificate = certify(report, content, self._has.signer, self._id)
        if self._has.store.finish(self._id, outcome, content, certificate):
            self._has.telemetry.metrics.verdicts.labels(outcome).inc()
        self._clear_if_deleted()
        return {"outcome": outcome}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time and trace one attempt at a step."""
        with (
            self._has.telemetry.metrics.step(name),
            self._has.telemetry.tracing.span(f"step {name}"),
        ):
            yield

    def tell(self, stage: str, done: int, total: int) -> None:
        """Note how far the work is; Abandoned where it should not go on."""
        if self._has.stopping():
            raise Abandoned
        last, at = self._told
        if stage == last and done < total and time.monotonic() - at < TELL_SECONDS:
            return
        self._told = (stage, time.monotonic())
        try:
            if self._has.store.move(self._id, stage, done, total):
                return
            self._clear_if_deleted()  # a trial kept something since, it may be
        except DBAPIError:  # the database is away: no reason to throw work away
            log.warning("screening %s: progress could not be noted", self._id)
            return
        raise Gone

    def fail(self, fault: Fault) -> dict[str, object]:
        """End the screening as failed; what was made of it is of no use any more."""
        if self._has.store.fail(self._id, fault):
            self._has.telemetry.metrics.failures.labels(fault.code).inc()
        return {"code": fault.code}

    @cached_property
    def _dataset(self) -> Dataset:
        job = self._job
        return self._has.store.datasets.read(
            job.dataset,
            form=job.form,
            name=job.order.name,
            limits=self._has.limits,
            watch=lambda: self.tell(READ, 0, 1),
        )

    @cached_property
    def _plan(self) -> Plan:
        return self._kept.get("plan", Plan)

    @cached_property
    def _chosen(self) -> tuple[bool, ...]:
        policy = self._job.order.policy
        return choose_rows(policy.moderation, self._all_scores, len(self._dataset))

    @property
    def _all_scores(self) -> list[Scores]:
        for name in self._plan.detectors:
            if name not in self._scores:
                self._scores[name] = self._kept.get(f"scores-{name}", TimedScores)
        return [self._scores[name].scores for name in self._plan.detectors]

    def _batches(self, count: int) -> list[TimedBatch]:
        names = (f"moderation-{batch}" for batch in range(count))
        return [self._kept.get(name, TimedBatch) for name in names]

    def _moderated(self, batches: int) -> Moderated:
        said = [each.said for each in self._batches(batches)]
        return gather(self._plan, self._chosen, said)

    def _seconds(self, batches: int, tried: TimedTrial | None) -> dict[str, float]:
        found = {
            f"detector.{name}": made.seconds for name, made in self._scores.items()
        }
        found["moderation"] = sum(each.seconds for each in self._batches(batches))
        if tried is not None:
            found["trial"] = tried.seconds
        return {**found, "total": sum(found.values())}

    def _check(self) -> None:
        if self._has.stopping():
            raise Abandoned
        job = self._has.store.job(self._id)
        if job is None:
            raise Gone
        self._job: Job = job

    def _keep(self, name: str, made: object) -> None:
        try:
            self._kept.put(name, made)
        except FileNotFoundError:  # its folder was cleared while it was written to
            self._clear_if_deleted()
            raise
        self._clear_if_deleted()

    def _clear_if_deleted(self) -> None:
        """Whoever deletes looks after marking the row, so one of the two sees it."""
        if self._has.store.get(self._id) is None:
            self._kept.clear()
            raise Gone


def _results(said: RowModeration) -> dict[str, int]:
    missed = sum(row.verdict is None for row in said.rows)
    return {"judged": len(said.rows) - missed, "missed": missed}
