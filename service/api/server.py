"""The server: HTTP until it is told to stop, then what is under way, for a while."""

from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from service.settings import Settings

GRACE_SECONDS: Final = 5
"""How long a stop waits for answers under way. Streams of events end at once: whoever
follows one goes on elsewhere, by `Last-Event-ID`."""


def serve(app: FastAPI, settings: Settings, *, log_level: str = "info") -> None:
    """Serve an app until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        app,
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


class _Server(uvicorn.Server):
    """A server that tells its app first: open streams would hold it up."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self._app.state.stopping = True
        super().handle_exit(sig, frame)
