"""Limits: who asks for too much is told so, and when to come again."""

import shutil
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request

from service.api import wrong_keys
from service.api.app import create_app
from service.api.budget import make_budget
from service.api.context import context_of
from service.api.crowd import requests_share
from service.api.errors_http import Problem
from service.api.rate_limit import MAX_NAMES, RateLimit
from service.api.wrong_keys import WrongKeys
from service.caller import SCOPES
from service.jobs.backend import Backend
from service.models import Models
from service.settings import Settings
from service.storage.keys import Keys

V1 = "/v1/screenings"
BAD = f"tg_{'0' * 12}_{'x' * 43}"
Usage = namedtuple("Usage", "total used free")
Serve = Callable[..., TestClient]
Wait = Callable[..., None]


@pytest.fixture
def serve(settings: Settings, models: Models, runner: Any) -> Iterator[Serve]:
    """Return a function that serves with settings changed."""
    opened: list[TestClient] = []

    def make(**changed: Any) -> TestClient:
        asked = Settings.model_validate({**settings.model_dump(), **changed})
        app = create_app(asked, load=lambda: models, runner=runner)
        opened.append(TestClient(app, raise_server_exceptions=False).__enter__())
        return opened[-1]

    yield make
    for client in opened:
        client.__exit__(None, None, None)


def refused(answer: Any, status: int, code: str) -> int:
    """Check a refusal; return after how many seconds to come again."""
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == code
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    seconds = int(answer.headers["retry-after"])
    assert seconds >= 1
    return seconds


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_nothing_is_accepted_on_a_full_disk(
    serve: Serve, row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(queues=(), min_free_bytes=1_000)
    free = [999]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**6, 0, free[0]))
    refused(client.post(V1, json={"rows": [row()]}), 507, "disk_full")
    assert client.get(V1).json()["data"] == []
    free[0] = 1_000
    assert client.post(V1, json={"rows": [row()]}).status_code == 202


def test_the_disk_of_the_uploads_counts_too(
    serve: Serve, row: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = settings.data_dir.parent / "other-disk"
    client = serve(queues=(), min_free_bytes=10, storage_url=str(elsewhere))

    def usage(path: Any) -> Usage:
        return Usage(100, 0, 5 if str(elsewhere) in str(path) else 50)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    refused(client.post(V1, json={"rows": [row()]}), 507, "disk_full")
    assert client.get(V1).json()["data"] == []


def test_an_address_with_many_wrong_keys_is_not_listened_to(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(auth="keys", wrong_keys_per_minute=3, queues=())
    keys = context_of(client.app).backend.keys
    known, fresh = (keys.create("acme", "k", frozenset(SCOPES))[1] for _ in range(2))
    assert client.get(V1, headers=bearer(known)).status_code == 200
    for _ in range(3):
        assert client.get(V1, headers=bearer(BAD)).status_code == 401

    looked: list[str] = []
    find = Keys.find
    monkeypatch.setattr(
        Keys, "find", lambda self, key: looked.append(key) or find(self, key)
    )
    for key in (BAD, fresh):  # a right guess is not told from a wrong one
        seconds = refused(
            client.get(V1, headers=bearer(key)), 429, "too_many_wrong_keys"
        )
        assert seconds <= 20
    assert looked == []
    # Whoever has shown a good key goes on, from the same address.
    assert client.get(V1, headers=bearer(known)).status_code == 200


def from_address(host: str) -> Request:
    return Request({"type": "http", "client": (host, 1), "headers": []})


def test_addresses_are_told_apart_and_a_network_of_one_user_is_not() -> None:
    wrong = WrongKeys(1)
    wrong.wrong(from_address("192.0.2.1"))
    wrong.wrong(from_address("2001:db8:0:1::1"))
    for host in ("192.0.2.1", "2001:db8:0:1:ffff::9"):
        with pytest.raises(Problem):
            wrong.check(from_address(host), BAD)
    for host in ("192.0.2.2", "2001:db8:0:2::1", "unix"):
        wrong.check(from_address(host), BAD)


def test_only_so_many_good_keys_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wrong_keys, "REMEMBERED", 2)
    wrong = WrongKeys(1)
    wrong.wrong(from_address("192.0.2.1"))
    for key in ("a", "b", "c"):
        wrong.right(key)
    for key in ("b", "c"):
        wrong.check(from_address("192.0.2.1"), key)
    with pytest.raises(Problem):
        wrong.check(from_address("192.0.2.1"), "a")


def test_buckets_take_bounded_memory() -> None:
    rates = RateLimit(1)
    for name in range(MAX_NAMES + 10):
        rates.take(str(name))
    assert len(rates._buckets) == MAX_NAMES


def test_a_tenant_has_so_many_streams(serve: Serve, row: Any, wait: Wait) -> None:
    client = serve(max_streams_per_tenant=1, queues=())
    links = client.post(V1, json={"rows": [row()]}).json()["links"]
    streams = context_of(client.app).streams
    said: list[Any] = []
    reader = threading.Thread(target=lambda: said.append(client.get(links["events"])))
    reader.start()
    wait(lambda: streams._open["default"] == 1)
    refused(client.get(links["events"]), 429, "too_many_streams")
    text = client.get("/metrics").text
    assert "tunegate_event_streams 1.0" in text
    client.delete(links["self"])
    reader.join(30)
    assert said[0].status_code == 200
    wait(lambda: not streams._open)
    assert client.get(links["events"]).status_code == 404


def test_requests_beyond_those_at_work_are_refused_unread(
    serve: Serve, row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(max_requests_at_once=1, queues=())
    release, inside = threading.Event(), threading.Event()

    def slow(*_: object) -> Any:
        inside.set()
        release.wait(30)
        raise KeyError

    monkeypatch.setattr("service.jobs.backend.Backend.holdings", slow)
    first = threading.Thread(target=lambda: client.get(V1))
    first.start()
    assert inside.wait(30)
    refused(client.post(V1, json={"rows": [row()]}), 503, "too_busy")
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code in (200, 503)
    release.set()
    first.join(30)
    monkeypatch.undo()
    assert client.get(V1).status_code == 200


def keyed(client: TestClient, tenant: str) -> dict[str, str]:
    keys = context_of(client.app).backend.keys
    return bearer(keys.create(tenant, "k", frozenset(SCOPES))[1])


def test_a_tenant_has_its_share_of_the_requests_at_work(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(auth="keys", max_requests_at_once=4, queues=())
    mine, other = keyed(client, "mine"), keyed(client, "other")
    release, inside = threading.Event(), threading.Semaphore(0)
    holdings = Backend.holdings

    def slow(self: Backend, caller: Any) -> Any:
        if caller.tenant == "mine":
            inside.release()
            release.wait(30)
        return holdings(self, caller)

    monkeypatch.setattr(Backend, "holdings", slow)
    held = [
        threading.Thread(target=lambda: client.get(V1, headers=mine)) for _ in range(2)
    ]
    for thread in held:
        thread.start()
        assert inside.acquire(timeout=30)
    refused(client.get(V1, headers=mine), 429, "tenant_too_busy")
    assert client.get(V1, headers=other).status_code == 200
    release.set()
    for thread in held:
        thread.join(30)
    assert client.get(V1, headers=mine).status_code == 200


@pytest.mark.parametrize(
    ("changed", "requests", "json_bytes"),
    [
        ({}, 0, 0),
        ({"auth": "keys"}, 128, 16 * 2**20),
        ({"auth": "keys", "max_requests_at_once": 1}, 1, 16 * 2**20),
        ({"auth": "keys", "max_requests_per_tenant": 7}, 7, 16 * 2**20),
        ({"auth": "keys", "max_requests_at_once": 0}, 0, 16 * 2**20),
        ({"auth": "keys", "max_json_bytes_at_once": 0}, 128, 0),
    ],
)
def test_the_share_of_a_tenant_is_half_where_tenants_are_told_apart(
    changed: dict[str, Any], requests: int, json_bytes: int
) -> None:
    settings = Settings(**changed)
    assert requests_share(settings) == requests
    assert make_budget(settings)._share == json_bytes


def test_a_tenant_that_has_enough_open_is_told_so_before_its_upload_is_read(
    serve: Serve, row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(queues=(), max_queued=9, max_queued_per_tenant=2)
    mine, other = keyed(client, "mine"), keyed(client, "other")
    asked = {"rows": [row()]}
    first = client.post(V1, json=asked, headers=mine).json()
    named = {**mine, "Idempotency-Key": "order-2"}
    second = client.post(V1, json=asked, headers=named)
    assert second.status_code == 202

    def unread(*_: object, **__: object) -> Any:
        raise AssertionError("the body was read")

    with monkeypatch.context() as patched:
        patched.setattr("service.api.routes.screenings.submit", unread)
        patched.setattr("service.api.routes.batches.submit_batch", unread)
        for path in (V1, "/v1/batches"):
            refused(
                client.post(path, json=asked, headers=mine), 429, "tenant_queue_full"
            )
    # What was accepted under a key is still told; what was not is refused later.
    again = client.post(V1, json=asked, headers=named)
    assert again.json()["id"] == second.json()["id"]
    fresh = {**mine, "Idempotency-Key": "order-3"}
    refused(client.post(V1, json=asked, headers=fresh), 429, "tenant_queue_full")
    assert client.post(V1, json=asked, headers=other).status_code == 202
    client.delete(first["links"]["self"], headers=mine)
    assert client.post(V1, json=asked, headers=mine).status_code == 202


def test_a_batch_counts_as_its_datasets(serve: Serve, row: Any) -> None:
    client = serve(queues=(), max_queued=9, max_queued_per_tenant=2)
    datasets = [{"rows": [row(str(n))]} for n in range(3)]
    answer = client.post("/v1/batches", json={"datasets": datasets})
    refused(answer, 429, "tenant_queue_full")
    answer = client.post("/v1/batches", json={"datasets": datasets[:2]})
    assert answer.status_code == 202


def test_screenings_of_several_tenants_end_where_each_has_one_place(
    serve: Serve, row: Any, wait: Wait
) -> None:
    client = serve(max_queued=9, max_running_per_tenant=1)
    asked = [(keyed(client, tenant), n) for tenant in ("mine", "other") for n in (1, 2)]
    made = [
        (client.post(V1, json={"rows": [row(str(n))] * 20}, headers=key), key)
        for key, n in asked
    ]

    def outcomes() -> list[str]:
        shown = [client.get(a.headers["location"], headers=k).json() for a, k in made]
        return [each["outcome"] for each in shown]

    wait(lambda: None not in outcomes())
    assert outcomes() == ["ACCEPT"] * 4
