"""Telemetry: what one process counts and traces."""

from dataclasses import dataclass, field

from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracing, make_tracing


@dataclass(frozen=True)
class Telemetry:
    """Metrics and traces of one process."""

    metrics: Metrics = field(default_factory=Metrics)
    tracing: Tracing = field(default_factory=Tracing)


def make_telemetry(settings: Settings) -> Telemetry:
    """Return the telemetry that the settings want; InputError as `make_tracing`."""
    return Telemetry(Metrics(), make_tracing(settings))
