"""The durable job: the steps of a screening, each checkpointed, in two workflows.

A dataset that is named by its URL is first fetched, by a workflow of its own, `ingest`.
`detect` reads, scores and moderates; where a trial is asked for it hands over to
`trial`, which waits in a queue of its own, so that a machine with a GPU can take it.
The last of the two concludes. After a crash a workflow goes on behind its last
checkpoint. Both are a fixed order of steps: what they branch on is itself a checkpoint.
"""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from dbos import DBOS, SetEnqueueOptions, SetWorkflowID, StepOptions
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError

from detectors.errors import TunegateError
from service.jobs.ingest import Ingest
from service.jobs.queues import ATTEMPTS, RANKS, Account, trial_id
from service.jobs.steps import Equipment, Gone, Steps, Unfit
from service.storage.objects import StoreUnavailable
from service.storage.queue import NORMAL
from service.storage.screening import Fault
from service.telemetry.origin import originating
from service.text import clean

log = logging.getLogger(__name__)

FAULT_CHARS: Final = 1_000
STEP_ATTEMPTS: Final = 8
TRANSIENT: Final = (OperationalError, InterfaceError, TimeoutError, StoreUnavailable)
"""The database or the object store is away: the step is tried again for minutes."""

Result = dict[str, Any]


class Ended(Exception):
    """The rest of the steps is not to be done: the screening is over or deleted."""


class Workflows:
    """The workflows, over the equipment of this process; made before DBOS starts.

    `running` counts those that this process is at work on now.
    """

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self.running: list[str] = []

        @DBOS.workflow(name="ingest", max_recovery_attempts=ATTEMPTS)
        def ingest(screening_id: str, account: Account) -> None:
            with self._working("ingest", screening_id, account):
                steps = Ingest(self._equipment, screening_id)
                _checkpointed(steps, "fetch", steps.fetch, account["tenant"])

        @DBOS.workflow(name="detect", max_recovery_attempts=ATTEMPTS)
        def detect(screening_id: str, account: Account) -> None:
            with self._working("detect", screening_id, account) as steps:
                self._detect(steps, screening_id, account)

        @DBOS.workflow(name="trial", max_recovery_attempts=ATTEMPTS)
        def trial(screening_id: str, batches: int, account: Account) -> None:
            with self._working("trial", screening_id, account) as steps:
                _checkpointed(steps, "trial", steps.try_out, batches)
                _checkpointed(steps, "report", steps.conclude, batches)

        self._trial = trial

    def _detect(self, steps: Steps, screening_id: str, account: Account) -> None:
        plan = _checkpointed(steps, "ingest", steps.ingest)
        for name in plan["detectors"]:
            _checkpointed(steps, f"detect.{name}", steps.detect, name)
        batches = _checkpointed(steps, "plan", steps.count_batches)["batches"]
        for batch in range(batches):
            _checkpointed(steps, f"moderate.{batch}", steps.moderate, batch)
        if not plan["run_trial"]:
            _checkpointed(steps, "report", steps.conclude, batches)
            return
        rank = RANKS[plan.get("priority", NORMAL)]
        with (
            SetWorkflowID(trial_id(screening_id)),
            SetEnqueueOptions(queue_partition_key=account["tenant"], priority=rank),
        ):
            DBOS.enqueue_workflow(
                "trial", self._trial, screening_id, batches, dict(account)
            )

    @contextmanager
    def _working(
        self, half: str, screening_id: str, account: Account
    ) -> Iterator[Steps]:
        known = {k: v for k, v in account.items() if k != "tenant"}
        tracing = self._equipment.telemetry.tracing
        self.running.append(screening_id)
        try:
            with (
                originating(screening_id=screening_id, **known),
                tracing.span(half, parent=account, screening=screening_id),
            ):
                yield Steps(self._equipment, screening_id)
        except Ended:
            log.info("screening %s: ended before its last step", screening_id)
        finally:
            self.running.remove(screening_id)


def _checkpointed(
    steps: Steps, name: str, act: Callable[..., Result], *given: object
) -> Result:
    """Do a step, or take what it returned before the crash. Ended where it failed."""
    options: StepOptions = {
        "name": name,
        "retries_allowed": True,
        "max_attempts": STEP_ATTEMPTS,
        "should_retry": lambda error: isinstance(error, Exception) and away(error),
    }

    def attempt() -> Result:
        with steps.timed(name):
            return _attempt(act, given)

    made = DBOS.run_step(options, attempt)
    if "fault" in made:
        fault = Fault(**made["fault"])
        DBOS.run_step({**options, "name": "fail"}, _attempt, steps.fail, (fault,))
    if "fault" in made or "gone" in made:
        raise Ended
    return made


def _attempt(act: Callable[..., Result], given: tuple[object, ...]) -> Result:
    """Return what a step returns; a failure is a result too, without words of rows."""
    try:
        return act(*given)
    except Gone:
        return {"gone": True}
    except Unfit as error:
        fault = error.fault
    except Exception as error:
        if away(error):
            raise
        fault = explain(error)
    return {"fault": {"code": fault.code, "message": clean(fault.message)}}


def away(error: Exception) -> bool:
    """Say whether the database or the object store is to blame, and may come back."""
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, TRANSIENT)


def explain(error: Exception) -> Fault:
    """Say what went wrong; the words of unforeseen errors may quote rows, so go."""
    if isinstance(error, TunegateError):
        return Fault(error.code, str(error)[:FAULT_CHARS])
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("unforeseen %s\n%s", type(error).__name__, frames)
    kind = type(error).__name__
    return Fault("internal_error", f"The screening failed unforeseen ({kind}).")
