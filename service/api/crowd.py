"""Crowd: how many requests a process takes in at once, so that memory is bounded."""

from collections import Counter
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors_http import Problem, problem_response
from service.settings import Settings

ALWAYS: Final = ("/healthz", "/readyz", "/metrics")
STREAM: Final = "/events"
"""Streams stay open and hold little; they have a limit of their own."""

PLACE: Final = "place"
"""Where the state of a request has its place."""


class Crowd:
    """ASGI middleware: answers 503 to what comes while `limit` requests are at work.

    Their bodies are not read, so what waits costs next to nothing. 0: any number. Of
    the places a tenant may hold `share`, once it is known whose a request is; 0: all.
    """

    def __init__(self, app: ASGIApp, *, limit: int, share: int = 0) -> None:
        self._app = app
        self._limit = limit
        self._share = share
        self._inside = 0
        self._held: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on where there is a place."""
        path = str(scope.get("path", ""))
        if scope["type"] != "http" or path in ALWAYS or path.endswith(STREAM):
            await self._app(scope, receive, send)
            return
        if self._limit and self._inside >= self._limit:
            said = "As many requests are at work as may be: try again at once."
            problem = Problem(503, "too_busy", said, headers={"Retry-After": "1"})
            answer = problem_response(problem, Request(scope))
            await answer(scope, receive, send)
            return
        place = Place(self._held, self._share)
        scope.setdefault("state", {})[PLACE] = place
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1
            place.leave()


class Place:
    """The place of one request; whose it is, is known once its key was looked at."""

    def __init__(self, held: Counter[str], share: int) -> None:
        self._held = held
        self._share = share
        self._tenant: str | None = None

    def take(self, tenant: str) -> None:
        """Count it as a tenant's; 429 where that has all of its share."""
        if not self._share or self._tenant is not None:
            return
        if self._held[tenant] >= self._share:
            said = f"{self._share} requests of yours are at work: wait for them."
            retry = {"Retry-After": "1"}
            raise Problem(429, "tenant_too_busy", said, headers=retry)
        self._held[tenant] += 1
        self._tenant = tenant

    def leave(self) -> None:
        """Give it up."""
        if self._tenant is not None:
            self._held[self._tenant] -= 1
            self._held += Counter()  # drops those at zero


def take_place(request: Request, tenant: str) -> None:
    """Count a request as a tenant's; 429 where that has all of its share."""
    place = getattr(request.state, PLACE, None)
    if isinstance(place, Place):
        place.take(tenant)


def requests_share(settings: Settings) -> int:
    """Return how many places a tenant may hold; 0: all, as where there are no keys."""
    if settings.auth == "open" or not settings.max_requests_at_once:
        return 0
    half = (settings.max_requests_at_once + 1) // 2
    return settings.max_requests_per_tenant or half
