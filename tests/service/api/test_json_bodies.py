"""JSON bodies over HTTP: their rows in the store, and nothing left of one refused."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request

from service.api import reading
from service.api.context import context_of
from service.api.errors_http import Problem
from service.settings import Settings

V1 = "/v1/screenings"
JSON = {"content-type": "application/json"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    changed = {"queues": (), "max_queued": 20, "max_json_bytes": 2**20}
    return settings.model_copy(update=changed)


def stored(settings: Settings) -> list[Path]:
    folder = settings.data_dir / "objects"
    return [path for path in folder.rglob("*") if path.is_file()]


def test_rows_are_stored_as_python_writes_them(
    client: TestClient, settings: Settings, row: Any
) -> None:
    rows = [row(f"Parcel {n}: \u00e9\u4e2d\U0001f600 \ud800") for n in range(2_000)]
    answer = client.post(V1, content=json.dumps({"rows": rows}), headers=JSON)
    assert answer.status_code == 202, answer.text
    [path] = stored(settings)
    written = json.dumps(rows).encode()
    assert path.read_bytes() == written
    assert path.name == hashlib.sha256(written).hexdigest()


REFUSED = [
    ('"policy": "nobody-keeps-this"', 422, "unknown_policy"),
    ('"recipe": {"base_model": "unheard-of"}', 422, "invalid_input"),
    ('"unknown": 1', 422, "invalid_request"),
    ('"url": "https://example.com/a"', 422, "invalid_request"),
    ('"rows": [1]', 400, "invalid_json"),
    ('"recipe": {', 400, "invalid_json"),
    ('"policy": {"a": [' + "1," * 120_000 + "1]}", 413, "too_many_values"),
]


@pytest.mark.parametrize(("more", "status", "code"), REFUSED)
def test_of_a_request_that_is_refused_no_row_stays(
    client: TestClient, settings: Settings, more: str, status: int, code: str
) -> None:
    dataset = '{"rows": [{"text": "a"}, {"text": "b"}]'
    whole = {V1: f"{dataset}, {more}}}"}
    if "url" not in more:
        whole["/v1/batches"] = f'{{"datasets": [{dataset}}}, {dataset}}}], {more}}}'
    for path, content in whole.items():
        answer = client.post(path, content=content, headers=JSON)
        if (path, more) == ("/v1/batches", '"rows": [1]'):
            status, code = 422, "invalid_request"
        assert (answer.status_code, answer.json()["code"]) == (status, code), path
        assert stored(settings) == []


def test_a_row_of_too_many_values_is_refused(
    client: TestClient, settings: Settings
) -> None:
    rows = '{"text": "a"}, {"text": [' + "[]," * 100_000 + "1]}"
    content = f'{{"rows": [{rows}]}}'
    answer = client.post(V1, content=content, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_values")
    assert stored(settings) == []


@pytest.mark.parametrize("rows", ["[]", "{}", "null", '"a"', "7"])
def test_rows_are_a_list_of_at_least_one(client: TestClient, rows: str) -> None:
    answer = client.post(V1, content=f'{{"rows": {rows}}}', headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"][0]["field"] == "rows"


def test_bodies_of_no_rows_take_none(client: TestClient, settings: Settings) -> None:
    for path in ("/v1/policies", "/v1/webhooks", "/v1/policies/dry-run"):
        answer = client.post(path, content='{"rows": [1, 2]}', headers=JSON)
        assert answer.status_code == 422, path
    assert stored(settings) == []


def test_a_body_that_does_not_come_to_its_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "ARRIVAL_SECONDS", 0.2)

    async def drip() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    request = Request({"type": "http", "headers": []}, drip)
    with pytest.raises(Problem) as caught:
        anyio.run(reading._content, request)
    assert (caught.value.status_code, caught.value.code) == (408, "body_too_slow")


@pytest.mark.parametrize(
    ("headers", "room"),
    [
        ({"content-length": "70000"}, 70_000),
        ({"content-length": str(2**20)}, 2**20),
        ({"content-length": str(2**20 + 1)}, 0),
        ({"content-length": "9" * 5_000}, 0),
        ({"transfer-encoding": "chunked"}, 2**20),
    ],
)
def test_room_is_asked_for_what_is_announced(
    client: TestClient, headers: dict[str, str], room: int
) -> None:
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    request = Request({"type": "http", "headers": given})
    assert reading._announced(request, context_of(client.app)) == room


def test_what_there_is_no_room_for_is_refused_unread(
    client: TestClient, row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.budget.WAIT_SECONDS", 0.05)
    budget = context_of(client.app).budget
    monkeypatch.setattr(budget, "_limit", 2**17)
    monkeypatch.setattr(budget, "_used", 2**17)

    async def unread(*_: object) -> Any:
        raise AssertionError("the body was read")

    monkeypatch.setattr(reading, "_content", unread)
    answer = client.post(V1, json={"rows": [row("x" * 70_000)]})
    assert (answer.status_code, answer.json()["code"]) == (503, "too_many_bytes")
    assert answer.headers["retry-after"] == "5"
