"""Worker: loads the models once, and works on what the queues hold in this process."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from dbos import DBOS, DBOSConfig

from detectors.moderation.moderator import Moderator, Usage
from service.jobs.backend import Backend
from service.jobs.deliver import Deliverer
from service.jobs.executor import Executor
from service.jobs.maintenance import Maintenance
from service.jobs.queues import APPLICATION, WORKFLOW_VERSION, serializer
from service.jobs.steps import Abandoned, Equipment, Unfit
from service.jobs.workflow import Workflows, explain
from service.models import Models
from service.screening import TrialRunner
from service.sources import Sources
from service.storage.screening import Fault
from service.storage.webhooks import Outbox
from service.telemetry.telemetry import Telemetry

log = logging.getLogger(__name__)

WAIT_SECONDS: Final = 0.05

LoadModels = Callable[[], Models]
LoadModerator = Callable[[Models, Usage], Moderator]


class Worker:
    """Works on the queues that the settings name; with none, it only has models.

    There is one in a process: DBOS knows but one. Without `load` it has no models, for
    they are not needed to fetch.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        load: LoadModels | None,
        load_moderator: LoadModerator,
        runner: TrialRunner | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.models: Models | None = None
        self.fault = ""
        self.telemetry = telemetry or Telemetry()
        self._backend = backend
        self._load = load
        self._load_moderator = load_moderator
        self._runner = runner
        self._stopping = threading.Event()
        self._loaded = threading.Event()
        self._dbos: DBOS | None = None
        self._workflows: Workflows | None = None
        lease = backend.settings.lease_seconds
        self._executor = Executor(backend.engine, lease_seconds=lease)
        metrics = self.telemetry.metrics
        self._maintenance = Maintenance(backend, self._executor, metrics)
        self._deliverer = Deliverer(
            Outbox(backend.engine), backend.settings, metrics=metrics
        )

    def start(self) -> None:
        """Load the models in a thread; begin to work."""
        if self._load is not None:
            args = (self._load,)
            threading.Thread(
                target=self._work, args=args, name="models", daemon=True
            ).start()
        queues = self._backend.settings.queues
        if queues:
            self._launch(queues)
            self._maintenance.start()
            self._deliverer.start()

    @property
    def has_models(self) -> bool:
        """Whether it loads models."""
        return self._load is not None

    def stop(self, seconds: float = 30.0) -> bool:
        """Stop where the steps allow it; False where one did not within that time.

        What is cut off is gone on with by another process, or by the next.
        """
        self._stopping.set()
        self._maintenance.stop()
        self._deliverer.stop()
        if self._dbos is None or self._workflows is None:
            return True
        for event in self._dbos.background_thread_stop_events:
            event.set()  # takes nothing more from the queues
        end = time.monotonic() + seconds
        while self._workflows.running and time.monotonic() < end:
            time.sleep(WAIT_SECONDS)
        drained = not self._workflows.running
        DBOS.destroy(destroy_registry=True)
        self._executor.leave()
        return drained

    def _launch(self, queues: tuple[str, ...]) -> None:
        settings = self._backend.settings
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": self._backend.database_url,
            "application_version": WORKFLOW_VERSION,
            "executor_id": self._executor.id,
            "serializer": serializer(),
            "run_migrations": False,
            "log_level": "WARNING",
            "notification_listener_polling_interval_sec": settings.poll_seconds,
        }
        self._dbos = DBOS(config=config)
        self._workflows = Workflows(
            Equipment(
                store=self._backend.store,
                sources=Sources(settings, self._backend.store.datasets),
                queue=self._backend.queues,
                models=self._wait_for_models,
                load_moderator=self._load_moderator,
                limits=settings.limits(),
                runner=self._runner,
                stopping=self._stopping.is_set,
                telemetry=self.telemetry,
                signer=self._backend.signer,
            )
        )
        DBOS.listen_queues(queues)
        self._executor.beat()
        DBOS.launch()

    def _work(self, load: LoadModels) -> None:
        try:
            models = load()
            self._load_moderator(models, Usage())
            self.models = models
        except Exception as error:
            self.fault = explain(error).message
        self._loaded.set()

    def _wait_for_models(self) -> Models:
        while not self._loaded.wait(WAIT_SECONDS):
            if self._stopping.is_set():
                raise Abandoned
        if self.models is None:
            raise Unfit(Fault("models_unavailable", self.fault))
        return self.models
