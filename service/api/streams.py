"""Streams: how many of a tenant's callers may follow events at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.api.errors_http import RETRY_SECONDS, Problem
from service.telemetry.metrics import Metrics


class Streams:
    """Open streams of one process, by tenant; `limit` each, 0: any number."""

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self._limit = limit
        self._open: Counter[str] = Counter()
        self._metrics = metrics

    @contextmanager
    def place(self, tenant: str) -> Iterator[None]:
        """Hold a place for a stream; 429 where the tenant has none left."""
        if self._limit and self._open[tenant] >= self._limit:
            raise _too_many(self._limit)
        self._open[tenant] += 1
        self._metrics.streams.inc()
        try:
            yield
        finally:
            self._open[tenant] -= 1
            self._open += Counter()  # drops those at zero
            self._metrics.streams.dec()


def _too_many(limit: int) -> Problem:
    said = f"{limit} streams of events are open: close one, or ask for the screening."
    retry = {"Retry-After": RETRY_SECONDS}
    return Problem(429, "too_many_streams", said, headers=retry)
