"""The HTTP app: routes, error answers, body limits, and the worker's life."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline

from detectors.errors import TunegateError
from service.api.body_limit import BodyLimit
from service.api.budget import make_budget
from service.api.context import Context, keep_context
from service.api.crowd import Crowd, requests_share
from service.api.errors_http import add_handlers
from service.api.observation import Observation, native
from service.api.plain_text import check_address
from service.api.rate_limit import RateLimit
from service.api.readiness import Readiness
from service.api.request_headers import RequestHeaders
from service.api.routes import (
    batches,
    health,
    policies,
    results,
    scan,
    schema,
    screenings,
    webhooks,
)
from service.api.streams import Streams
from service.api.wrong_keys import WrongKeys
from service.envelope import load_signer
from service.estimate import Estimates
from service.jobs.backend import Backend, open_backend
from service.moderator import check_moderator, idle_moderation
from service.oidc import Tokens
from service.policy import Policy, load_policy
from service.settings import Settings
from service.storage.sealing import load_seal
from service.telemetry.queue_depth import QueueDepth
from service.telemetry.telemetry import Telemetry, make_telemetry

if TYPE_CHECKING:  # they import torch
    from service.jobs.worker import Worker
    from service.models import Models
    from service.screening import TrialRunner

log = logging.getLogger(__name__)

DESCRIPTION = """Screens a proposed fine-tuning dataset and gates the job on measured \
safety drift. Errors are RFC 9457 problem+json with a stable `code`."""

ACCEPTS: Final = 4
"""Submissions at work at once: they wait for the database or for one interpreter."""

PARSES: Final = 2
"""JSON bodies parsed at once: while one waits for the store another is parsed."""


def create_app(
    settings: Settings,
    *,
    load: "Callable[[], Models] | None" = None,
    runner: "TrialRunner | None" = None,
) -> FastAPI:
    """Return the app. `load` and `runner` replace the models and the trial.

    PolicyError where the policy of the settings is not valid, InputError where a key,
    the moderation provider or the judge is not. A start that fails later on leaves its
    TunegateError as `app.state.failure`.
    """
    policy = _checked_policy(settings)
    if runner is None and _works(settings):
        from service.judge import check_judge

        check_judge(settings)
    telemetry = make_telemetry(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with _failure_kept(app):
            backend = await to_thread.run_sync(open_backend, settings)
            worker = await to_thread.run_sync(
                _make_worker, backend, load, runner, telemetry
            )
            context = _context(settings, policy, backend, worker, telemetry)
        keep_context(app, context)
        telemetry.metrics.add(QueueDepth(backend))
        if worker is not None:
            await to_thread.run_sync(worker.start)
        yield
        if worker is not None:
            app.state.drained = await to_thread.run_sync(worker.stop)
        backend.close()
        await to_thread.run_sync(telemetry.tracing.close)

    app = FastAPIOffline(  # the pages of /docs without a content delivery network
        title="Tunegate",
        version=version("tunegate"),
        description=DESCRIPTION,
        lifespan=lifespan,
        dependencies=[Depends(check_address)],
        telemetry=native(telemetry.tracing),
    )
    app.state.stopping = False
    app.state.failure = None
    app.state.telemetry = telemetry
    _add_routes(app)
    add_handlers(app)
    _add_middleware(app, settings, telemetry)
    return app


def _checked_policy(settings: Settings) -> Policy:
    """Return the policy of the settings, and raise where a key or provider is amiss."""
    policy = load_policy(settings.policy)
    load_seal(settings.encryption_keys.get_secret_value())
    load_signer(settings.certificate_key.get_secret_value())
    check_moderator(settings)
    idle = idle_moderation(settings, policy)
    if idle:
        log.warning("%s, or send a policy that does", idle)
    return policy


def _context(
    settings: Settings,
    policy: Policy,
    backend: Backend,
    worker: "Worker | None",
    telemetry: Telemetry,
) -> Context:
    return Context(
        settings,
        policy,
        backend,
        worker,
        scans=CapacityLimiter(1),
        dry_runs=CapacityLimiter(1),
        accepts=CapacityLimiter(ACCEPTS),
        parses=CapacityLimiter(PARSES),
        budget=make_budget(settings),
        rates=RateLimit(settings.requests_per_minute),
        streams=Streams(settings.max_streams_per_tenant, telemetry.metrics),
        wrong_keys=WrongKeys(settings.wrong_keys_per_minute),
        estimates=Estimates(backend.engine),
        readiness=Readiness(backend, settings.ready_seconds),
        tokens=Tokens(settings) if settings.oidc_issuer else None,
    )


def _add_routes(app: FastAPI) -> None:
    rooms = (screenings, results, batches, policies, webhooks, scan, schema, health)
    app.state.routes = list(app.routes)
    for room in rooms:
        app.include_router(room.router)
        app.state.routes += room.router.routes


def _add_middleware(app: FastAPI, settings: Settings, telemetry: Telemetry) -> None:
    """Put around the routes, from the inside out, what every request goes through."""
    app.add_middleware(
        BodyLimit,
        form_paths=[each.router.prefix for each in (screenings, batches)],
        upload_bytes=settings.max_upload_bytes,
        other_bytes=settings.max_json_bytes,
    )
    places, share = settings.max_requests_at_once, requests_share(settings)
    app.add_middleware(Crowd, limit=places, share=share)
    app.add_middleware(Observation, metrics=telemetry.metrics)
    app.add_middleware(RequestHeaders)


@contextmanager
def _failure_kept(app: FastAPI) -> Iterator[None]:
    """Keep the error that ends the start: the server itself would tell a traceback."""
    try:
        yield
    except TunegateError as error:
        app.state.failure = error
        raise


def _works(settings: Settings) -> bool:
    """Whether a process works on queues or scans: only then it imports torch."""
    return bool(settings.queues or settings.scan_max_rows)


def _make_worker(
    backend: Backend,
    load: "Callable[[], Models] | None",
    runner: "TrialRunner | None",
    telemetry: Telemetry,
) -> "Worker | None":
    """Return a worker; None where this process neither works on queues nor scans.

    Such a process imports neither torch nor models, and stays small.
    """
    if not _works(backend.settings):
        return None
    from service.jobs.worker_command import make_worker

    scans = bool(backend.settings.scan_max_rows)
    return make_worker(
        backend, load=load, runner=runner, telemetry=telemetry, scans=scans
    )
