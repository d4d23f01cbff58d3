"""A dataset is rows, a URL, or one that is here already."""

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from service.api.app import create_app
from service.api.context import context_of
from service.caller import SCOPES
from service.models import Models
from service.settings import Settings
from service.sources import Sources
from service.storage.tables import AUDIT_EVENTS
from tests.service.api.exchange import finish

V1 = "/v1/screenings"
LINE = b'{"prompt": "Where is my parcel?", "completion": "On its way."}\n'
URL = "https://data.example.com/folder/rows.jsonl?signature=secret"


def answer(request: httpx.Request) -> httpx.Response:
    good = request.url.path == "/folder/rows.jsonl"
    content = httpx.ByteStream(LINE * 20 if good else b"")
    return httpx.Response(200 if good else 404, stream=content)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a web of one file."""

    def sources(settings: Settings, datasets: Any) -> Sources:
        return Sources(
            settings,
            datasets,
            resolve=lambda host, port: ["93.184.215.14"],
            transport=httpx.MockTransport(answer),
            waits=(),
        )

    monkeypatch.setattr("service.jobs.worker.Sources", sources)


@pytest.fixture
def client(
    web: None,
    settings: Settings,
    models: Models,
    runner: Any,
    wait: Callable[..., None],
) -> Iterator[TestClient]:
    app = create_app(settings, load=lambda: models, runner=runner)
    with TestClient(app, raise_server_exceptions=False) as client:
        wait(lambda: client.get("/readyz").status_code == 200)
        yield client


def test_a_dataset_is_fetched_and_then_named_by_its_digest(
    client: TestClient, wait: Callable[..., None], settings: Settings
) -> None:
    done = finish(client, wait, client.post(V1, json={"url": URL}))
    assert (done["status"], done["name"]) == ("finished", "rows.jsonl")
    digest = hashlib.sha256(LINE * 20).hexdigest()
    report = client.get(done["links"]["report"]).json()
    assert report["dataset"]["sha256"] == digest
    assert "secret" not in str(report)

    named = {"sha256": digest, "name": "again", "run_trial": False}
    again = finish(client, wait, client.post(V1, json=named))
    assert (again["status"], again["name"]) == ("finished", "again")
    client.delete(done["links"]["self"])
    third = finish(client, wait, client.post(V1, json=named))
    for each in (again, third):
        client.delete(each["links"]["self"])
    answer = client.post(V1, json=named)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_dataset")
    objects = settings.data_dir / "objects"
    assert [each for each in objects.rglob("*") if each.is_file()] == []


def test_a_digest_names_nothing_of_another_tenants(
    client: TestClient, wait: Callable[..., None]
) -> None:
    finish(client, wait, client.post(V1, json={"url": URL}))
    keys = context_of(client.app).backend.keys
    other = keys.create("other", "k", frozenset(SCOPES))[1]
    named = {"sha256": hashlib.sha256(LINE * 20).hexdigest()}
    headers = {"Authorization": f"Bearer {other}"}
    answer = client.post(V1, json=named, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_dataset")


def test_rows_have_one_digest_wherever_it_is_told(
    client: TestClient, row: Any, wait: Callable[..., None]
) -> None:
    rows = [{"z": 1, **row("\u00e9 \ud800")}, row(), {"b": [1.0, float("inf")]}, "odd"]
    written = json.dumps(rows).encode()
    digest = hashlib.sha256(written).hexdigest()
    kind = {"content-type": "application/json"}
    content = json.dumps({"rows": rows, "run_trial": False})
    done = finish(client, wait, client.post(V1, content=content, headers=kind))
    report = client.get(done["links"]["report"]).json()["dataset"]
    assert (report["sha256"], report["size_bytes"]) == (digest, len(written))
    with context_of(client.app).backend.engine.connect() as connection:
        noted = connection.execute(select(AUDIT_EVENTS.c.facts)).scalars().all()
    assert {facts["dataset"] for facts in noted} == {digest}

    named = {"sha256": digest, "name": "rows", "run_trial": False}
    again = finish(client, wait, client.post(V1, json=named))
    assert client.get(again["links"]["report"]).json()["dataset"] == report
    content = json.dumps({"rows": rows})
    scanned = client.post("/v1/scan", content=content, headers=kind).json()
    assert scanned["dataset"] == report


UNFIT: list[tuple[Any, str, str]] = [
    ({"url": "https://127.0.0.1/x"}, "invalid_input", "public internet"),
    ({"url": "https://user:pass@data.example.com/x"}, "invalid_input", "passwords"),
    ({"url": "http://data.example.com/x"}, "invalid_input", "FETCH_SOURCES"),
    ({"url": "s3://bucket/x"}, "invalid_input", "FETCH_SOURCES"),
    ({"url": ""}, "invalid_request", "url"),
    ({"url": URL, "rows": [{}]}, "invalid_request", "just one"),
    ({"name": "nothing"}, "invalid_request", "just one"),
    ({"sha256": "9F" * 32}, "invalid_request", "sha256"),
    ({"sha256": "9f" * 32 + "\n"}, "invalid_request", "sha256"),
]


def test_an_origin_that_is_not_right_is_named(
    client: TestClient, settings: Settings
) -> None:
    for asked, code, said in UNFIT:
        answer = client.post(V1, json=asked)
        assert (answer.status_code, answer.json()["code"]) == (422, code), asked
        assert said in answer.json()["detail"], asked
        assert list((settings.data_dir / "objects").rglob("incoming/*")) == []


def test_nothing_is_fetched_for_what_is_refused_anyway(client: TestClient) -> None:
    asked = {"url": "https://data.example.com/none", "recipe": {"epochs": 10_000}}
    answer = client.post(V1, json=asked)
    assert answer.json()["code"] == "invalid_input"
    assert "epochs" in answer.json()["detail"]


def test_a_url_that_leads_nowhere_ends_as_failed(
    client: TestClient, wait: Callable[..., None], settings: Settings
) -> None:
    url = "https://data.example.com/none?signature=secret"
    done = finish(client, wait, client.post(V1, json={"url": url}))
    assert (done["status"], done["outcome"]) == ("failed", None)
    assert done["fault"]["code"] == "source_unavailable"
    assert "answered 404: check it" in done["fault"]["message"]
    assert "secret" not in str(done)
    assert client.get(done["links"]["report"]).json()["code"] == "screening_failed"
    text = client.get("/metrics").text
    assert 'tunegate_failures_total{code="source_unavailable"} 1.0' in text
    assert list((settings.data_dir / "objects").rglob("incoming/*")) == []


def test_a_batch_of_urls_fails_one_by_one(
    client: TestClient, wait: Callable[..., None]
) -> None:
    none = "https://data.example.com/none"
    answer = client.post(
        "/v1/batches", json={"datasets": [{"url": URL}, {"url": none}]}
    )
    done = finish(client, wait, answer)
    assert done["outcome"] == "REVIEW"
    assert (done["statuses"]["finished"], done["statuses"]["failed"]) == (1, 1)


def test_a_url_sent_twice_under_one_key_counts_once(
    client: TestClient, wait: Callable[..., None]
) -> None:
    headers = {"Idempotency-Key": "order-1"}
    first = client.post(V1, json={"url": URL}, headers=headers).json()
    again = client.post(V1, json={"url": URL}, headers=headers)
    assert again.json()["id"] == first["id"]
    finish(client, wait, again)
    late = client.post(V1, json={"url": URL}, headers=headers)
    assert late.json()["id"] == first["id"]
    other = client.post(V1, json={"url": URL + "x"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def depth(client: TestClient, queue: str) -> float:
    text = client.get("/metrics").text
    (line,) = (
        each for each in text.splitlines() if f'"{queue}",state="waiting"' in each
    )
    return float(line.split()[-1])


def test_a_process_that_only_fetches_has_no_models_and_hands_over(
    web: None, settings: Settings, wait: Callable[..., None]
) -> None:
    def load() -> Models:
        raise AssertionError("models were loaded")

    update = {"queues": ("ingest",), "scan_max_rows": 0}
    app = create_app(settings.model_copy(update=update), load=load)
    headers = {"X-Request-Id": "order-4711"}
    with TestClient(app) as client:
        assert client.get("/readyz").json() == {"status": "ready", "models": {}}
        made = client.post(V1, json={"url": URL}, headers=headers).json()
        wait(lambda: depth(client, "detect") == 1)
        assert depth(client, "ingest") == 0
        shown = client.get(made["links"]["self"]).json()
        assert shown["status"] == "running"
        told = {k: v for k, v in shown["progress"].items() if k != "seconds_left"}
        assert told == {"stage": "fetch", "done": 1, "total": 1}
        backend = context_of(client.app).backend
        (found,) = backend.queues._client.list_workflows(workflow_ids=[made["id"]])
        # What was asked for is still known to whoever goes on.
        assert "order-4711" in str(found.input)


def test_a_disk_that_is_full_when_the_bytes_come_fails_the_screening(
    client: TestClient, wait: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.sources.free_bytes", lambda *_: 0)
    done = finish(client, wait, client.post(V1, json={"url": URL}))
    assert (done["status"], done["fault"]["code"]) == ("failed", "disk_full")
