"""Metrics of one process, for Prometheus.

No label names a tenant, a screening or anything out of a dataset: labels are routes,
queues, steps, outcomes and codes, all of them few and ours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.registry import Collector

DEVICES: Final = ("cpu", "cuda", "mps")
STEP_SECONDS: Final = (0.05, 0.2, 1, 5, 15, 60, 180, 600, 1800, 3600)
REQUEST_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


class Metrics:
    """Counters of one process in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self.requests = self._counter(
            "http_requests", "Requests answered.", "method", "route", "status"
        )
        self.request_seconds = self._histogram(
            "http_request_seconds", "Until an answer began.", REQUEST_SECONDS, "route"
        )
        self.streams = self._gauge("event_streams", "Open streams of events.")
        self.step_seconds = self._histogram(
            "step_seconds", "Steps of screenings, without waits.", STEP_SECONDS, "step"
        )
        self.verdicts = self._counter(
            "verdicts", "Screenings that ended with an outcome.", "outcome"
        )
        self.failures = self._counter(
            "failures", "Screenings that ended without one.", "code"
        )
        self.moderated_rows = self._counter(
            "moderated_rows", "Rows sent to moderation.", "result"
        )
        self.trials = self._counter("trials", "Trials that ended.", "result")
        self._trial_seconds = self._counter(
            "trial_seconds", "Wall-clock seconds of trials.", "device"
        )
        self.webhook_attempts = self._counter(
            "webhook_attempts", "Attempts to deliver a webhook.", "result"
        )

    def add(self, collector: Collector) -> None:
        """Have a collector asked with each reading."""
        self._registry.register(collector)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format (0.0.4)."""
        return generate_latest(self._registry)

    @property
    def registry(self) -> CollectorRegistry:
        """The registry, to be served."""
        return self._registry

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step; the number of a batch is left out."""
        began = perf_counter()
        try:
            yield
        finally:
            kind = name.rstrip("0123456789").rstrip(".")
            self.step_seconds.labels(kind).observe(perf_counter() - began)

    def count_trial(self, *, measured: bool, seconds: float, device: str) -> None:
        """Note a trial and where it ran."""
        self.trials.labels("measured" if measured else "not_measured").inc()
        known = device if device in DEVICES else "other"
        self._trial_seconds.labels(known).inc(seconds)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"tunegate_{name}", words, labels, registry=self._registry)

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"tunegate_{name}", words, labels, registry=self._registry)

    def _histogram(
        self, name: str, words: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            f"tunegate_{name}",
            words,
            labels,
            buckets=buckets,
            registry=self._registry,
        )
