"""A port of its own for Prometheus, beside the API or in a worker that has no HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import start_http_server

from detectors.errors import InputError
from service.settings import Settings
from service.telemetry.metrics import Metrics


@contextmanager
def metrics_served(metrics: Metrics, settings: Settings) -> Iterator[None]:
    """Serve metrics where the settings name a port; InputError where it is taken."""
    if not settings.metrics_port:
        yield
        return
    where = f"{settings.metrics_host}:{settings.metrics_port}"
    try:
        server, thread = start_http_server(
            settings.metrics_port, settings.metrics_host, metrics.registry
        )
    except OSError as error:
        said = f"setting TUNEGATE_METRICS_PORT: {where}: {error.strerror}"
        raise InputError(said) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
