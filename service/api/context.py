"""Context: what every HTTP route needs, made once for each app."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from anyio import CapacityLimiter
from fastapi import Depends, FastAPI, Request
from starlette.types import ASGIApp

from service.api.budget import Budget
from service.api.errors_http import RETRY_SECONDS, Problem
from service.api.findings import RecentFindings
from service.api.rate_limit import RateLimit
from service.api.readiness import Readiness
from service.api.schemas import ScreeningOut
from service.api.streams import Streams
from service.api.wrong_keys import WrongKeys
from service.caller import Caller
from service.estimate import Estimates
from service.jobs.backend import Backend
from service.oidc import Tokens
from service.policy import Policy
from service.settings import Settings
from service.storage.screening import Screening

if TYPE_CHECKING:  # they import torch
    from service.jobs.worker import Worker
    from service.models import Models


@dataclass(frozen=True)
class Context:
    """Settings, default policy, backend and worker of one app.

    `worker` is None where the process neither works on queues nor scans. `rates` says
    who asks too often. `scans`, `dry_runs`, `accepts` and `parses` admit one scan, one
    dry run and a few submissions and bodies at a time, in the order in which they came:
    more would only slow each other down, and a dry run holds the scores of all rows.
    `budget` is of bodies that are read.
    """

    settings: Settings
    policy: Policy
    backend: Backend
    worker: "Worker | None"
    scans: CapacityLimiter
    dry_runs: CapacityLimiter
    accepts: CapacityLimiter
    parses: CapacityLimiter
    budget: Budget
    rates: RateLimit
    streams: Streams
    wrong_keys: WrongKeys
    estimates: Estimates
    readiness: Readiness
    tokens: Tokens | None = None
    findings: RecentFindings = field(default_factory=RecentFindings)

    def models(self) -> "Models | None":
        """Return the loaded models; 503 while they load or where they cannot.

        None in a process that needs none.
        """
        if self.worker is None or not self.worker.has_models:
            return None
        if self.worker.models is not None:
            return self.worker.models
        if self.worker.fault:
            raise Problem(503, "models_unavailable", self.worker.fault)
        raise Problem(
            503,
            "models_loading",
            "The models are being loaded: try again shortly.",
            headers={"Retry-After": RETRY_SECONDS},
        )

    def show(self, screening: Screening, request: Request) -> ScreeningOut:
        """Return a screening as it is shown, with the time that it still takes."""
        root = str(request.scope.get("root_path", "")).rstrip("/")
        return ScreeningOut.of(screening, root, self.estimates.left(screening))

    def screening(self, screening_id: str, caller: Caller) -> Screening:
        """Return the caller's screening; 404 where there is none of that id."""
        found = self.backend.holdings(caller).get(screening_id)
        if found is None:
            raise not_found()
        return found


def not_found() -> Problem:
    """Return the 404 for a screening that is not there."""
    return Problem(404, "screening_not_found", "There is no screening of that id.")


def keep_context(app: ASGIApp, context: Context) -> None:
    """Have an app work with a context: every request from now on sees this one."""
    assert isinstance(app, FastAPI)
    app.state.context = context


def context_of(app: ASGIApp) -> Context:
    """Return what an app works with; there is none before it has started."""
    assert isinstance(app, FastAPI)
    context: Context = app.state.context
    return context


def _context(request: Request) -> Context:
    return context_of(request.app)


Here = Annotated[Context, Depends(_context)]
"""The context, as a route's parameter."""
