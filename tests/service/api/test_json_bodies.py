"""JSON bodies over HTTP: their rows in the store, and nothing left of one refused."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi.testclient import TestClient
from starlette.datastructures import Headers
from starlette.requests import Request

from service.api import reading
from service.api.body_limit import FORM_OVERHEAD_BYTES, BodyLimit
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
def test_rows_are_a_list_of_at_least_one(
    untouched_client: TestClient, rows: str
) -> None:
    answer = untouched_client.post(V1, content=f'{{"rows": {rows}}}', headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"][0]["field"] == "rows"


def test_bodies_of_no_rows_take_none(client: TestClient, settings: Settings) -> None:
    for path in ("/v1/policies", "/v1/webhooks", "/v1/policies/dry-run"):
        answer = client.post(path, content='{"rows": [1, 2]}', headers=JSON)
        assert answer.status_code == 422, path
    assert stored(settings) == []


JSON_ONLY = ("/v1/scan", "/v1/policies", "/v1/policies/dry-run", "/v1/webhooks")


@pytest.mark.parametrize("path", JSON_ONLY)
@pytest.mark.parametrize(
    "kind", ["multipart/x", "multipart/form-data; boundary=b", "text/plain", None]
)
def test_a_body_that_is_not_called_json_is_refused_unread(
    untouched_client: TestClient,
    path: str,
    kind: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unread(*_: object) -> Any:
        raise AssertionError("the body was read")

    monkeypatch.setattr(reading, "_content", unread)
    headers = {} if kind is None else {"content-type": kind}
    answer = untouched_client.post(path, content="{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (
        415,
        "unsupported_media_type",
    )


def test_json_may_be_called_what_is_some_kind_of_it(
    client: TestClient, row: Any
) -> None:
    content = json.dumps({"rows": [row()]})
    for kind in ("application/json; charset=utf-8", "Application/Foo+JSON"):
        answer = client.post(V1, content=content, headers={"content-type": kind})
        assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("path", [*JSON_ONLY, V1, "/v1/batches"])
@pytest.mark.parametrize("kind", [b"multipart/x", b"application/json"])
def test_no_media_type_takes_more_than_json_may_have(
    untouched_client: TestClient, path: str, kind: bytes
) -> None:
    """Of two headers one rule for all takes the first."""
    pairs = [("content-type", kind), ("content-type", b"multipart/form-data")]
    answer = untouched_client.post(path, content=b"[" * (2**20 + 1), headers=pairs)
    expected = 415 if kind == b"multipart/x" else 413
    assert answer.status_code == expected, answer.text


def test_a_form_has_its_own_limit_only_where_forms_are_taken(
    untouched_client: TestClient,
) -> None:
    limit = BodyLimit(
        untouched_client.app, form_paths=(V1,), upload_bytes=10**9, other_bytes=10
    )
    form = Headers({"content-type": "multipart/form-data; boundary=b"})
    limits = {
        path: limit._limit({"path": f"/root{path}", "root_path": "/root"}, form)
        for path in (V1, *JSON_ONLY)
    }
    assert limits == {V1: 10**9 + FORM_OVERHEAD_BYTES, **dict.fromkeys(JSON_ONLY, 10)}


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


def test_a_client_that_hangs_up_is_no_fault_of_the_service() -> None:
    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(Problem) as caught:
        anyio.run(reading._content, Request({"type": "http", "headers": []}, gone))
    assert (caught.value.status_code, caught.value.code) == (400, "invalid_request")


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
