"""Metrics and traces leave a process by real sockets, where the settings say."""

import socket
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from detectors.errors import InputError
from service.settings import Settings
from service.telemetry import tracing
from service.telemetry.metrics import Metrics
from service.telemetry.metrics_server import metrics_served
from service.telemetry.tracing import make_tracing


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_port_of_its_own_shows_metrics_until_the_process_ends() -> None:
    metrics, settings = Metrics(), Settings(metrics_port=free_port())
    metrics.verdicts.labels("ACCEPT").inc()
    url = f"http://127.0.0.1:{settings.metrics_port}/metrics"
    with metrics_served(metrics, settings):
        text = urllib.request.urlopen(url, timeout=10).read().decode()
        assert 'tunegate_verdicts_total{outcome="ACCEPT"} 1.0' in text
        assert "process_resident_memory_bytes" in text
        with (
            pytest.raises(InputError, match="TUNEGATE_METRICS_PORT"),
            metrics_served(Metrics(), settings),
        ):
            pass
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=10)


def test_labels_are_few_whatever_is_counted() -> None:
    metrics = Metrics()
    for batch in range(3):
        with metrics.step(f"moderate.{batch}"):
            pass
    for device in ("cuda", "cuda:0", "tpu", ""):
        metrics.count_trial(measured=True, seconds=1.0, device=device)
    text = metrics.text().decode()
    assert 'tunegate_step_seconds_count{step="moderate"} 3.0' in text
    assert 'tunegate_trial_seconds_total{device="cuda"} 1.0' in text
    assert 'tunegate_trial_seconds_total{device="other"} 3.0' in text


class Collector:
    """An OpenTelemetry collector on a real socket, that keeps what it is sent."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                got.append((self.path, self.rfile.read(size)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


def test_spans_go_to_the_collector_of_the_settings(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    port = collector.server.server_address[1]
    made = make_tracing(Settings(otel_endpoint=f"http://127.0.0.1:{port}/"))
    with made.span("detect", screening="scr_1"):
        parent = tracing.traceparent()
    with made.span("step ingest", parent=parent):
        pass
    made.close()
    ((path, body),) = collector.got
    assert path == "/v1/traces"
    (sent,) = ExportTraceServiceRequest.FromString(body).resource_spans
    named = {each.key: each.value.string_value for each in sent.resource.attributes}
    assert named["service.name"] == "tunegate"
    spans = {each.name: each for each in sent.scope_spans[0].spans}
    assert spans["step ingest"].parent_span_id == spans["detect"].span_id
    assert spans["detect"].attributes[0].key == "tunegate.screening"


def test_nothing_is_traced_by_default() -> None:
    made = make_tracing(Settings())
    assert made.provider is None
    with made.span("detect"):
        assert tracing.traceparent() == {}
        assert tracing.trace_id() == ""
    made.close()
