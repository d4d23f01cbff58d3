"""What holds for every request: ids, rates, conditions, keys against doing it twice."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from service.api.app import create_app
from service.api.context import context_of, keep_context
from service.api.rate_limit import RateLimit
from service.models import Models
from service.policy import Policy
from service.settings import Settings
from service.storage.datasets import Upload
from service.storage.screening import request_digest
from service.storage.tables import SCREENINGS
from tests.service.api.exchange import finish
from trial.recipe import Recipe

V1 = "/v1/screenings"
Wait = Callable[..., None]


def test_every_answer_names_its_request(untouched_client: TestClient) -> None:
    given = {"X-Request-Id": "order-4711.retry_2"}
    for path in ("/healthz", "/nowhere", f"{V1}/none"):
        first = untouched_client.get(path, headers=given)
        assert first.headers["x-request-id"] == given["X-Request-Id"]
        if first.status_code >= 400:
            assert first.json()["request_id"] == given["X-Request-Id"]
    names = {untouched_client.get("/healthz").headers["x-request-id"] for _ in range(3)}
    assert len(names) == 3


@pytest.mark.parametrize("given", ["short", "x" * 65, "a b c d e f", "aaaaaaaa\u00e9"])
def test_an_id_that_could_mislead_is_not_repeated(
    untouched_client: TestClient, given: str
) -> None:
    headers = [(b"x-request-id", given.encode("latin-1"))]
    said = untouched_client.get("/healthz", headers=headers).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{24}", said)


def test_an_unforeseen_error_names_its_request_too(
    untouched_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("service.jobs.backend.Backend.holdings", broken)
    answer = untouched_client.get(V1)
    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text


def test_what_the_client_has_is_not_sent_again(
    client: TestClient, row: Any, wait: Wait
) -> None:
    done = finish(client, wait, client.post(V1, json={"rows": [row("BAD")]}))
    for path in (done["links"][name] for name in ("self", "report", "findings")):
        first = client.get(path)
        tag = first.headers["etag"]
        assert re.fullmatch('"[0-9a-f]+"', tag)
        for known in (tag, f'"x", {tag}', f"W/{tag}", "*"):
            again = client.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == tag
        assert client.get(path, headers={"If-None-Match": '"x"'}).status_code == 200
    client.delete(done["links"]["self"])
    gone = client.get(done["links"]["report"], headers={"If-None-Match": tag})
    assert gone.status_code == 404


def test_a_request_sent_twice_under_one_key_counts_once(
    client: TestClient, row: Any, wait: Wait
) -> None:
    asked, headers = {"rows": [row()]}, {"Idempotency-Key": "order-1"}
    first = client.post(V1, json=asked, headers=headers)
    done = finish(client, wait, first)
    again = client.post(V1, json=asked, headers=headers)
    assert again.status_code == 202
    assert again.json() == done
    assert len(client.get(V1).json()["data"]) == 1
    other = client.post(V1, json={"rows": [row("x")]}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    recipe = {**asked, "recipe": {"epochs": 2}}
    assert client.post(V1, json=recipe, headers=headers).status_code == 422
    assert client.post(V1, json=asked).status_code == 202
    client.delete(done["links"]["self"])
    fresh = client.post(V1, json=asked, headers=headers)
    assert fresh.json()["id"] != done["id"]


@pytest.fixture
def idle(settings: Settings, models: Models) -> Iterator[TestClient]:
    """Give a service that only takes requests, as many as are sent."""
    changed = {"queues": (), "max_queued": 50}
    app = create_app(settings.model_copy(update=changed), load=lambda: models)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def change_all(client: TestClient) -> None:
    """Change what a request may be said to come to: policies, and the settings."""
    policy = {"trial": {"required": False}}
    client.post("/v1/policies", json={"name": "acme", "policy": policy})
    here = context_of(client.app)
    changed = {"row_budget": 7, "run_trial": False, "high_priority_tenants": ()}
    settings = here.settings.model_copy(update=changed)
    other = Policy(name="another")
    keep_context(client.app, replace(here, settings=settings, policy=other))


DEFAULTS = {"recipe": {"epochs": Recipe().epochs}, "run_trial": True}
ASKED: list[dict[str, Any]] = [{}, {"policy": "acme"}, {"priority": "high"}]


@pytest.mark.parametrize("more", ASKED)
def test_a_request_is_the_same_whatever_changed_since(
    idle: TestClient, row: Any, settings: Settings, more: dict[str, Any]
) -> None:
    idle.post("/v1/policies", json={"name": "acme"})
    rows = {"rows": [row()]}
    file = {"file": ("f.jsonl", b'{"prompt": "a", "completion": "b"}\n')}
    sent: list[tuple[str, dict[str, Any]]] = [
        (V1, {"json": {**rows, **more}}),
        ("/v1/batches", {"json": {"datasets": [rows, rows], **more}}),
    ]
    forms = [(path, {"files": file, "data": more}) for path, _ in sent]

    def send(key: str, requests: Any) -> list[str]:
        headers = {"Idempotency-Key": key}
        answers = [idle.post(path, headers=headers, **body) for path, body in requests]
        assert [each.status_code for each in answers] == [202, 202], answers[0].text
        return [each.json()["id"] for each in answers]

    first = [*send("json", sent), *send("form", forms)]
    change_all(idle)
    assert [*send("json", sent), *send("form", forms)] == first
    for _, body in sent:
        body["json"].update(DEFAULTS)
    assert send("json", sent) == first[:2]
    incoming = settings.data_dir / "objects" / "incoming"
    assert [each for each in incoming.rglob("*") if each.is_file()] == []
    for path, body in sent:
        other = {**body["json"], "recipe": {"epochs": 2}}
        answer = idle.post(path, json=other, headers={"Idempotency-Key": "json"})
        assert answer.status_code in (403, 422)


def test_a_key_that_was_sent_before_the_upgrade_still_fits(
    idle: TestClient, row: Any
) -> None:
    asked, headers = {"rows": [row()], "name": "n"}, {"Idempotency-Key": "order-1"}
    first = idle.post(V1, json=asked, headers=headers).json()
    backend = context_of(idle.app).backend
    job = backend.store.job(first["id"])
    assert job is not None
    given = Upload("", job.dataset, 0, job.form)
    mine = update(SCREENINGS).where(SCREENINGS.c.id == first["id"])
    with backend.engine.begin() as connection:
        old = request_digest(job.order, given)
        connection.execute(mine.values(request=old))
    assert idle.post(V1, json=asked, headers=headers).json() == first
    other = idle.post(V1, json={**asked, "name": "m"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_requests_at_once_under_one_key_count_once(
    client: TestClient, row: Any, wait: Wait
) -> None:
    said: list[Any] = []

    def send() -> None:
        headers = {"Idempotency-Key": "k"}
        said.append(client.post(V1, json={"rows": [row()]}, headers=headers))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.status_code for each in said} == {202}
    assert len({each.json()["id"] for each in said}) == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
def test_an_unfit_idempotency_key_is_named(
    untouched_client: TestClient, row: Any, key: str
) -> None:
    headers = {"Idempotency-Key": key}
    answer = untouched_client.post(V1, json={"rows": [row()]}, headers=headers)
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json()["detail"]


def test_a_bucket_refills_evenly() -> None:
    now = [0.0]
    rates = RateLimit(2, clock=lambda: now[0])
    said = [rates.take("a") for _ in range(3)]
    assert [each.granted for each in said if each] == [True, True, False]
    assert said[2] is not None
    assert said[2].wait_seconds == 30.0
    assert said[2].headers()["Retry-After"] == "30"
    other = rates.take("b")
    assert other is not None
    assert other.granted
    now[0] = 30.0
    refilled = rates.take("a")
    assert refilled is not None
    assert (refilled.granted, refilled.left) == (True, 0)
    assert RateLimit(0).take("a") is None


@pytest.fixture
def slow(settings: Settings, models: Models, runner: Any) -> Iterator[TestClient]:
    """Serve two requests a minute."""
    asked = settings.model_copy(update={"requests_per_minute": 2})
    with TestClient(create_app(asked, load=lambda: models, runner=runner)) as client:
        yield client


def test_who_asks_too_often_is_told_to_wait(slow: TestClient) -> None:
    first = slow.get(V1)
    assert first.headers["ratelimit-policy"] == '"tenant";q=2;w=60'
    assert first.headers["ratelimit"].startswith('"tenant";r=1;t=')
    assert slow.get(f"{V1}/none").headers["ratelimit"].startswith('"tenant";r=0;t=')
    third = slow.get(V1)
    assert (third.status_code, third.json()["code"]) == (429, "rate_limited")
    assert 0 < int(third.headers["retry-after"]) <= 30
    for _ in range(3):  # the public answers nevertheless
        assert slow.get("/healthz").status_code == 200
