"""What an operator sees: metrics, spans and logs, of which none holds content."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from service.api import app as app_module
from service.api.app import create_app
from service.models import Models
from service.settings import Settings
from service.telemetry.logs import JsonFormatter
from service.telemetry.telemetry import Telemetry
from service.telemetry.tracing import Tracing

V1 = "/v1/screenings"
SECRET = "the words of a customer BAD"
Wait = Callable[..., None]
Serve = Callable[..., TestClient]


def samples(client: TestClient, **headers: str) -> dict[str, float]:
    """Return the metrics, by name and labels."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        f"{each.name}{sorted(each.labels.items())}": each.value
        for family in text_string_to_metric_families(answer.text)
        for each in family.samples
    }


def screen(client: TestClient, row: Any, wait: Wait, *said: str) -> dict[str, Any]:
    rows = [row(each) for each in said]
    headers = {"X-Request-Id": "request-4711"}
    made = client.post(V1, json={"rows": rows, "name": "private"}, headers=headers)
    assert made.status_code == 202
    here = made.headers["location"]
    wait(lambda: client.get(here).json()["status"] in ("finished", "failed"))
    found: dict[str, Any] = client.get(here).json()
    return found


def test_metrics_tell_what_was_done_and_to_no_one_for_whom(
    client: TestClient, row: Any, wait: Wait
) -> None:
    done = screen(client, row, wait, *[SECRET] * 12)
    assert client.get("/nowhere/private").status_code == 404
    busy = "tunegate_queue_depth[('queue', 'trial'), ('state', 'running')]"
    wait(lambda: samples(client)[busy] == 0)
    found = samples(client)
    assert found["tunegate_verdicts_total[('outcome', 'REJECT')]"] == 1
    posted = "[('method', 'POST'), ('route', '/v1/screenings'), ('status', '202')]"
    assert found[f"tunegate_http_requests_total{posted}"] == 1
    strange = "[('method', 'OTHER'), ('route', '(none)'), ('status', '404')]"
    assert found[f"tunegate_http_requests_total{strange}"] == 1
    steps = {
        name: value
        for name, value in found.items()
        if name.startswith("tunegate_step_seconds_count")
    }
    assert steps["tunegate_step_seconds_count[('step', 'detect.explicit_harm')]"] == 1
    assert steps["tunegate_step_seconds_count[('step', 'trial')]"] == 1
    assert found["tunegate_trials_total[('result', 'measured')]"] == 1
    assert found["tunegate_trial_seconds_total[('device', 'other')]"] > 0
    assert found["tunegate_database_up[]"] == 1
    assert found["tunegate_queue_depth[('queue', 'detect'), ('state', 'waiting')]"] == 0
    text = client.get("/metrics").text
    for private in (done["id"], "default", "private", "customer"):
        assert private not in text


def test_the_queue_is_counted_from_the_database(
    settings: Settings, models: Models, row: Any
) -> None:
    asked = settings.model_copy(update={"queues": ()})
    with TestClient(create_app(asked, load=lambda: models)) as client:
        assert client.post(V1, json={"rows": [row()]}).status_code == 202
        waiting = "tunegate_queue_depth[('queue', 'detect'), ('state', 'waiting')]"
        assert samples(client)[waiting] == 1


def test_metrics_do_without_a_database(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    def away(*_: object) -> None:
        raise OperationalError("", {}, Exception())

    monkeypatch.setattr("service.jobs.queues.Queues.depth", away)
    found = samples(client)
    assert found["tunegate_database_up[]"] == 0
    assert not any(name.startswith("tunegate_queue_depth") for name in found)


@pytest.fixture
def serve(settings: Settings, models: Models, runner: Any) -> Iterator[Serve]:
    """Return a function that serves with settings changed."""
    opened: list[TestClient] = []

    def make(**changed: Any) -> TestClient:
        asked = Settings.model_validate({**settings.model_dump(), **changed})
        client = TestClient(create_app(asked, load=lambda: models, runner=runner))
        opened.append(client.__enter__())
        return client

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("auth", "token", "given", "status"),
    [
        ("open", "", "", 200),
        ("open", "t0ken", "", 401),
        ("open", "t0ken", "t0ken", 200),
        ("keys", "", "", 401),
        ("keys", "", "t0ken", 401),
        ("keys", "t0ken", "wr\u00f6ng", 401),
        ("keys", "t0ken", "t0ken", 200),
    ],
)
def test_metrics_beside_the_api_ask_for_their_token(
    serve: Serve, auth: str, token: str, given: str, status: int
) -> None:
    client = serve(auth=auth, metrics_token=token, queues=(), scan_max_rows=1)
    headers = [(b"authorization", f"Bearer {given}".encode())] if given else []
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["code"] == "unauthorized"
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Have the app trace into memory."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traced = Telemetry(tracing=Tracing(provider))
    monkeypatch.setattr(app_module, "make_telemetry", lambda _: traced)
    return exporter


def test_spans_of_request_and_worker_are_one_trace(
    spans: InMemorySpanExporter, client: TestClient, row: Any, wait: Wait
) -> None:
    done = screen(client, row, wait, *[SECRET] * 12)
    wait(lambda: "trial" in {each.name for each in spans.get_finished_spans()})
    every = spans.get_finished_spans()
    asked = next(s for s in every if s.name == "POST /v1/screenings")
    assert asked.context is not None
    one = [
        s for s in every if s.context and s.context.trace_id == asked.context.trace_id
    ]
    named = {s.name: s for s in one}
    assert {"detect", "trial", "step ingest", "step trial", "step report"} <= set(named)
    for half in ("detect", "trial"):
        parent = named[half].parent
        assert parent is not None
        assert parent.span_id == asked.context.span_id
        assert (named[half].attributes or {})["tunegate.screening"] == done["id"]
    within = named["step trial"].parent
    assert within is not None
    assert within.span_id == named["trial"].context.span_id  # type: ignore[union-attr]
    told = "".join(str(s.to_json()) for s in every)
    assert "customer" not in told
    assert "private" not in told


def test_a_span_of_a_failure_has_no_words_of_it(
    spans: InMemorySpanExporter, client: TestClient, row: Any, wait: Wait
) -> None:
    assert screen(client, row, wait, "CRASH")["status"] == "failed"
    told = "".join(str(s.to_json()) for s in spans.get_finished_spans())
    assert "secret row text" not in told


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Write the log of all levels as JSON into memory."""
    root, stream = logging.getLogger(), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def test_logs_name_request_and_screening_and_hold_no_content(
    logged: io.StringIO, client: TestClient, row: Any, wait: Wait
) -> None:
    done = screen(client, row, wait, "CRASH", SECRET)
    assert done["status"] == "failed"
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    asked = next(each for each in lines if each.get("method") == "POST")
    assert asked["request_id"] == "request-4711"
    assert (asked["route"], asked["status"]) == ("/v1/screenings", "202")
    fault = next(each for each in lines if each["level"] == "error")
    assert fault["request_id"] == "request-4711"
    assert fault["screening_id"] == done["id"]
    for private in ("customer", "private"):
        assert private not in logged.getvalue()
