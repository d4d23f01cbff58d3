"""Observation: each request counted, timed, logged and, by setting, traced."""

import logging
from time import perf_counter
from typing import Final

from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry.metrics import Metrics
from service.telemetry.origin import REQUEST_ID, originating
from service.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

QUIET: Final = ("/healthz", "/readyz", "/metrics")
"""Asked every few seconds: counted, not logged."""

UNKNOWN: Final = "(none)"
"""The route of what no route takes: paths are the caller's words."""


class Observation:
    """ASGI middleware: counts requests by route and status, and logs a line for each.

    Neither holds a path, a query or a body; routes are named as they are declared.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and note what came of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, seconds = perf_counter(), 500, 0.0

        async def heard(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status, seconds = message["status"], perf_counter() - began
            await send(message)

        request_id = str(scope.get("state", {}).get(REQUEST_ID, ""))
        with originating(request_id=request_id):
            try:
                await self._app(scope, receive, heard)
            finally:
                self._note(scope, status, seconds or perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", UNKNOWN)
        method = "OTHER" if route == UNKNOWN else str(scope["method"])
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        if route in QUIET:
            return
        facts = {"method": method, "route": route, "status": status}
        facts["milliseconds"] = round(seconds * 1000)
        log.info("request", extra={"facts": facts})


def native(tracing: Tracing) -> TelemetryConfig:
    """Return what FastAPI itself is to report: spans of requests where they are sent.

    Never its logs, which hold the words of exceptions and so of rows; and nothing that
    the environment alone would turn on.
    """
    on = tracing.provider is not None
    return TelemetryConfig(
        tracing=on,
        tracer_provider=tracing.provider,
        metrics=False,
        logs=False,
        operation_spans=False,
        auto_configure=False,
    )
