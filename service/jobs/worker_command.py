"""`tunegate worker`: works on the queues of a service in a process of its own."""

import logging
import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType

from service.jobs.backend import Backend, open_backend
from service.jobs.trial_limit import limit_trial
from service.jobs.worker import Worker
from service.judge import judged_runner
from service.models import Models, load_models
from service.moderator import check_moderator, load_cache, load_moderator
from service.screening import TrialRunner
from service.settings import INGEST, Settings
from service.telemetry.metrics_server import metrics_served
from service.telemetry.queue_depth import QueueDepth
from service.telemetry.telemetry import Telemetry, make_telemetry

log = logging.getLogger(__name__)


def make_worker(
    backend: Backend,
    *,
    load: Callable[[], Models] | None = None,
    runner: TrialRunner | None = None,
    telemetry: Telemetry | None = None,
    scans: bool = False,
) -> Worker:
    """Return a worker as the settings want it; `load` and `runner` replace parts.

    One that only fetches has no models, unless the process `scans`. InputError as
    `make_telemetry`, where none is given.
    """
    settings = backend.settings
    cache = load_cache(settings)
    fetches = settings.queues == (INGEST,) and not scans
    return Worker(
        backend,
        load=None if fetches else load or partial(load_models, settings.encoder),
        load_moderator=lambda models, spent: load_moderator(
            settings, models.detectors, spent=spent, cache=cache
        ),
        runner=limit_trial(
            runner or judged_runner(settings), settings.max_trial_seconds
        ),
        telemetry=telemetry or make_telemetry(settings),
    )


def work(settings: Settings) -> bool:
    """Work until SIGTERM or SIGINT; False where a step had to be cut off.

    InputError where the settings are amiss.
    """
    check_moderator(settings)
    told = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    backend = open_backend(settings)
    worker = make_worker(backend)
    telemetry = worker.telemetry
    telemetry.metrics.add(QueueDepth(backend))
    with metrics_served(telemetry.metrics, settings):
        worker.start()
        told.wait()
        drained = worker.stop()
    telemetry.tracing.close()
    backend.close()
    return drained
