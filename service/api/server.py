"""The server: HTTP until it is told to stop, then what is under way, for a while."""

from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.settings import Settings

GRACE_SECONDS: Final = 5
"""How long a stop waits for answers under way. Streams of events end at once: whoever
follows one goes on elsewhere, by `Last-Event-ID`."""


def serve(app: FastAPI, settings: Settings, *, log_level: str = "info") -> None:
    """Serve an app until SIGTERM or SIGINT.

    SystemExit where it does not start; `app.state.failure` says why if we know.
    """
    config = uvicorn.Config(
        _without_traceback(app),
        host=settings.host,
        port=settings.port,
        log_level=log_level,
        server_header=False,
        log_config=None,  # ours: see service.telemetry.logs
        access_log=False,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    _Server(config, app).run()


def _without_traceback(app: FastAPI) -> ASGIApp:
    """Return the app; where it keeps why it failed to start, no traceback is logged."""

    async def serve_quietly(scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            failed = message["type"] == "lifespan.startup.failed"
            if failed and app.state.failure is not None:
                message = {**message, "message": ""}
            await send(message)

        await app(scope, receive, tell if scope["type"] == "lifespan" else send)

    return serve_quietly


class _Server(uvicorn.Server):
    """A server that tells its app first: open streams would hold it up."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self._app.state.stopping = True
        super().handle_exit(sig, frame)
