"""Maintenance: signs of life, work of the dead taken over, what is old removed."""

import logging
import threading
import time
from typing import Final

from dbos import DBOS

from service.jobs.backend import Backend
from service.jobs.executor import Executor
from service.jobs.queues import ATTEMPTS
from service.storage.batches import sweep_batches
from service.storage.screening import Fault
from service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

BEATS_A_LEASE: Final = 3
ROUND_SECONDS: Final = 2.0
"""Between two rounds at most: work of the dead of this host waits no longer."""

SWEEP_SECONDS: Final = 3600.0
CLEAN_SECONDS: Final = 60.0

FAULTS: Final = {
    "CANCELLED": Fault(
        "timeout",
        "The screening took longer than it may. Submit less, or ask for more.",
    ),
    "ERROR": Fault("internal_error", "The screening failed unforeseen."),
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": Fault(
        "worker_lost", f"The processes that worked on it ended over {ATTEMPTS} times."
    ),
}


class Maintenance:
    """A thread that does in every process what no request waits for."""

    def __init__(self, backend: Backend, executor: Executor, metrics: Metrics) -> None:
        self._metrics = metrics
        self._backend = backend
        self._executor = executor
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maintenance")
        self._thread.daemon = True
        self._due = {"clean": 0.0, "sweep": 0.0}

    def start(self) -> None:
        """Begin, with a first round at once."""
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """End after the round that runs now."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def round(self) -> None:
        """Do all that is due."""
        self._executor.beat()
        self.take_over()
        self.end_lost()
        if self._is_due("clean", CLEAN_SECONDS):
            self._clean()
        if self._is_due("sweep", SWEEP_SECONDS):
            store = self._backend.store
            store.datasets.sweep(store.engine, time.time())

    def take_over(self) -> None:
        """Queue again what dead executors were at work on."""
        for dead in self._executor.dead():
            # Conditional on the dead one's id, so two that take over do no harm.
            DBOS._recover_pending_workflows([dead])
            self._executor.bury(dead)

    def end_lost(self) -> None:
        """Fail the screenings whose workflow ended without a result."""
        store, queues = self._backend.store, self._backend.queues
        for screening_id, state in queues.lost(store.open_screenings()).items():
            if store.fail(screening_id, FAULTS[state]):
                self._metrics.failures.labels(FAULTS[state].code).inc()

    def _clean(self) -> None:
        deletion, settings = self._backend.deletion, self._backend.settings
        self._backend.queues.forget(deletion.finish())
        deletion.trim(settings.max_kept)
        if settings.retention_days:
            deletion.expire(settings.retention_days)
        with self._backend.engine.begin() as connection:
            sweep_batches(connection)

    def _is_due(self, name: str, seconds: float) -> bool:
        due = time.monotonic() >= self._due[name]
        if due:
            self._due[name] = time.monotonic() + seconds
        return due

    def _run(self) -> None:
        lease = self._backend.settings.lease_seconds
        pause = min(ROUND_SECONDS, lease / BEATS_A_LEASE)
        while not self._stopping.is_set():
            try:
                self.round()
            except Exception as error:  # the database is away: the next round is soon
                log.warning("maintenance: %s", type(error).__name__)
            self._stopping.wait(pause)
