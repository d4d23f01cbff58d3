"""Crowd: how many requests a process takes in at once, so that memory is bounded."""

from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors_http import Problem, problem_response

ALWAYS: Final = ("/healthz", "/readyz", "/metrics")
STREAM: Final = "/events"
"""Streams stay open and hold little; they have a limit of their own."""


class Crowd:
    """ASGI middleware: answers 503 to what comes while `limit` requests are at work.

    Their bodies are not read, so what waits costs next to nothing. 0: any number.
    """

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app = app
        self._limit = limit
        self._inside = 0

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
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1
