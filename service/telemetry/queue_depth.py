"""Queue depth: what waits and what runs, asked of the database at each reading."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from service.storage.database import reading

if TYPE_CHECKING:
    from service.jobs.backend import Backend


class QueueDepth(Collector):
    """Gauges of the whole service, the same from each of its processes."""

    def __init__(self, backend: "Backend") -> None:
        self._backend = backend

    def describe(self) -> list[Metric]:
        """Return nothing: so registering asks nothing of the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return the depths; without a database only that it is away."""
        up = GaugeMetricFamily("tunegate_database_up", "Whether the database answers.")
        depth = GaugeMetricFamily(
            "tunegate_queue_depth",
            "Screenings in a queue, of all processes.",
            labels=("queue", "state"),
        )
        try:
            with reading(self._backend.engine).connect() as connection:
                found = self._backend.queues.depth(connection)
        except SQLAlchemyError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        for labels, count in found.items():
            depth.add_metric(labels, count)
        yield up
        yield depth
