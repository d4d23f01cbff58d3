"""Tracing: spans of steps, joined to the request that asked for them; off by default.

A span holds ids, names and numbers. Exceptions are not recorded: their words can quote
rows.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracerProvider, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from detectors.errors import InputError
from service.settings import Settings

SERVICE: Final = "tunegate"
PROPAGATOR: Final = TraceContextTextMapPropagator()


class Tracing:
    """Makes spans by a provider; without one, spans that nobody hears of."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self.provider = provider
        made = provider or NoOpTracerProvider()
        self._tracer = made.get_tracer(SERVICE, version(SERVICE))

    @contextmanager
    def span(
        self, name: str, *, parent: Mapping[str, str] | None = None, **facts: str | int
    ) -> Iterator[None]:
        """Make a span around a block; `parent` holds a `traceparent`, if any.

        Without `parent` it is a child of the span that is current.
        """
        before: Context | None = None
        if parent and parent.get("traceparent"):
            before = PROPAGATOR.extract({"traceparent": parent["traceparent"]})
        attributes = {f"tunegate.{key}": value for key, value in facts.items()}
        with self._tracer.start_as_current_span(
            name,
            before,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def close(self) -> None:
        """Send what is left."""
        shutdown = getattr(self.provider, "shutdown", None)
        if shutdown is not None:
            shutdown()


def traceparent() -> dict[str, str]:
    """Return the current span as W3C trace context; empty where there is none."""
    carrier: dict[str, str] = {}
    PROPAGATOR.inject(carrier)
    return {k: v for k, v in carrier.items() if k == "traceparent"}


def trace_id() -> str:
    """Return the id of the current trace in hexadecimal; "" where there is none."""
    found = trace.get_current_span().get_span_context()
    return format(found.trace_id, "032x") if found.is_valid else ""


def make_tracing(settings: Settings) -> Tracing:
    """Send spans where the settings say; InputError where the extra is missing."""
    if not settings.otel_endpoint:
        return Tracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider as Provider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        said = "traces need their exporter: pip install 'tunegate[otel]'"
        raise InputError(said) from error
    resource = Resource.create({"service.name": SERVICE})
    provider = Provider(resource=resource)
    target = settings.otel_endpoint.rstrip("/") + "/v1/traces"
    exporter: Any = OTLPSpanExporter(endpoint=target)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider)
