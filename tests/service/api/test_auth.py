import dataclasses
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.api.context import context_of, keep_context
from service.caller import SCOPES, Caller, Scope
from service.models import Models
from service.oidc import IdentityUnavailable, Tokens
from service.settings import Settings
from service.storage.audit import events
from service.storage.database import reading

V1 = "/v1/screenings"
POLICY = "strict@1"
PUBLIC = {"/healthz", "/readyz", "/v1/schemas", "/v1/schemas/{name}"}
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture
def guarded(
    settings: Settings, models: Models, runner: Any, wait: Callable[..., None]
) -> Iterator[TestClient]:
    """Serve with keys asked for."""
    asked = settings.model_copy(update={"auth": "keys"})
    app = create_app(asked, load=lambda: models, runner=runner)
    with TestClient(app, raise_server_exceptions=False) as client:
        wait(lambda: client.get("/readyz").status_code == 200)
        yield client


@pytest.fixture
def key(guarded: TestClient) -> Callable[..., dict[str, str]]:
    """Return a function that makes the headers of a tenant with scopes."""

    def make(tenant: str, *scopes: Scope) -> dict[str, str]:
        keys = context_of(guarded.app).backend.keys
        return {
            "Authorization": f"Bearer {keys.create(tenant, 'k', frozenset(scopes))[1]}"
        }

    return make


def operations(client: TestClient) -> list[tuple[str, str]]:
    paths = client.get("/openapi.json").json()["paths"]
    found = [(m, p) for p, each in paths.items() for m in METHODS if m in each]
    assert len(found) >= 9
    return found


def finished(
    client: TestClient, headers: dict[str, str], row: Any, wait: Callable[..., None]
) -> str:
    answer = client.post(V1, json={"rows": [row("BAD")]}, headers=headers)
    assert answer.status_code == 202
    here = answer.headers["location"]
    wait(lambda: client.get(here, headers=headers).json()["status"] == "finished")
    return str(answer.json()["id"])


NOBODYS = {
    "screening_id": f"scr_{'0' * 24}",
    "webhook_id": f"whk_{'0' * 24}",
    "delivery_id": f"msg_{'0' * 24}",
    "batch_id": f"bat_{'0' * 24}",
    "name": "report",
    "reference": POLICY,
}
"""What stands for each parameter of a path; a new one must be listed here."""


def call(
    client: TestClient, method: str, path: str, headers: dict[str, str], **own: str
) -> Any:
    path = path.format(**{**NOBODYS, **own})
    body = {} if method in ("get", "delete") else {"json": {}}
    return client.request(method, path, headers=headers, **body)


def told(answer: Any) -> dict[str, Any]:
    """Return the problem without the id of its request."""
    return {k: v for k, v in answer.json().items() if k != "request_id"}


def test_what_stays_of_a_deleted_screening_is_its_tenants_alone(
    guarded: TestClient, key: Any, row: Any, wait: Callable[..., None]
) -> None:
    mine, other = key("mine", *SCOPES), key("other", *SCOPES)
    here = f"{V1}/{finished(guarded, mine, row, wait)}"
    nobodys = f"{V1}/{NOBODYS['screening_id']}/certificate"
    for _ in ("kept", "deleted"):
        assert guarded.get(f"{here}/certificate", headers=mine).status_code == 200
        answer = guarded.get(f"{here}/certificate", headers=other)
        assert answer.status_code == 404
        assert told(answer) == told(guarded.get(nobodys, headers=other))
        guarded.delete(here, headers=mine)
    unread = key("mine", "submit")
    assert guarded.get(f"{here}/certificate", headers=unread).status_code == 403


def test_nothing_but_the_public_answers_without_a_key(guarded: TestClient) -> None:
    bad = f"Bearer tg_{'0' * 12}_{'x' * 43}"
    for headers in ({}, {"Authorization": bad}, {"Authorization": "Basic eDp5"}):
        for method, path in operations(guarded):
            answer = call(guarded, method, path, headers)
            if path in PUBLIC:
                assert answer.status_code < 400, (method, path)
                continue
            assert answer.status_code == 401, (method, path)
            assert answer.json()["code"] == "unauthorized"
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.fixture
def hooks(guarded: TestClient, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that gives a tenant's webhooks; nothing is sent to them."""
    monkeypatch.setattr("service.jobs.deliver.Deliverer.round", lambda self: 0)
    backend = context_of(guarded.app).backend
    return lambda tenant: backend.webhooks(Caller(tenant))


@pytest.mark.each_database
def test_no_route_shows_a_tenant_what_is_anothers(
    guarded: TestClient, key: Any, row: Any, wait: Callable[..., None], hooks: Any
) -> None:
    mine, other = key("mine", *SCOPES), key("other", *SCOPES)
    webhook = hooks("mine").add("https://hooks.example.com/")
    screening = finished(guarded, mine, row, wait)
    (delivery,), _ = hooks("mine").deliveries(webhook.id, limit=10)
    added = guarded.post("/v1/policies", json={"name": "strict"}, headers=mine)
    assert added.json()["reference"] == POLICY
    asked = {"datasets": [{"rows": [row("BAD")]}]}
    batch = guarded.post("/v1/batches", json=asked, headers=mine).json()
    own = {
        "screening_id": screening,
        "webhook_id": webhook.id,
        "delivery_id": delivery.id,
        "batch_id": batch["id"],
    }
    for method, path in operations(guarded):
        if path in PUBLIC:
            continue
        answer = call(guarded, method, path, other, **own)
        for each in (*own.values(), *batch["screenings"]):
            assert each not in answer.text, (method, path)
        if "{" in path:
            assert answer.status_code in (403, 404), (method, path)
            nobodys = call(guarded, method, path, other)
            # Nothing tells what is another's from what there never was.
            assert told(answer) == told(nobodys), (method, path)
    asked = {"screening": screening, "policy": {}}
    tried = guarded.post("/v1/policies/dry-run", json=asked, headers=other)
    assert tried.status_code == 404
    named = {"rows": [row()], "policy": POLICY}
    assert guarded.post(V1, json=named, headers=other).status_code == 422
    assert (
        guarded.get(V1, params={"cursor": screening}, headers=other).status_code == 422
    )
    query = {"batch": batch["id"]}
    assert guarded.get(V1, params=query, headers=other).json()["data"] == []
    assert guarded.get(V1, headers=other).json()["data"] == []
    assert len(guarded.get(V1, params=query, headers=mine).json()["data"]) == 1
    still = guarded.get(batch["links"]["self"], headers=mine).json()
    assert (still["size"], still["cancelled_at"]) == (1, None)
    assert len(hooks("mine").every()) == 1
    assert guarded.get(f"{V1}/{screening}/report", headers=mine).status_code == 200


@pytest.mark.each_database
def test_a_delivery_of_another_is_not_reached_through_a_webhook_of_ones_own(
    guarded: TestClient,
    key: Any,
    row: Any,
    wait: Callable[..., None],
    hooks: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.jobs.deliver.Deliverer.begin", lambda self: 0)
    mine, other = key("mine", *SCOPES), key("other", *SCOPES)
    hook = hooks("mine").add("https://hooks.example.com/mine")
    second = hooks("mine").add("https://hooks.example.com/second")
    theirs = hooks("other").add("https://hooks.example.com/other")
    finished(guarded, mine, row, wait)
    (delivery,), _ = hooks("mine").deliveries(hook.id, limit=10)
    for headers, through in ((other, theirs), (mine, second)):
        here = f"/v1/webhooks/{through.id}/deliveries"
        asks = (("POST", f"{here}/{{}}/replay"), ("GET", f"{here}?cursor={{}}"))
        for (method, path), status in zip(asks, (404, 422), strict=True):
            said = guarded.request(method, path.format(delivery.id), headers=headers)
            nobodys = path.format(NOBODYS["delivery_id"])
            never = guarded.request(method, nobodys, headers=headers)
            assert (said.status_code, told(said)) == (status, told(never))
    here = f"/v1/webhooks/{theirs.id}/deliveries"
    assert guarded.get(here, headers=other).json()["data"] == []
    assert hooks("mine").deliveries(hook.id, limit=10)[0] == [delivery]
    again = f"/v1/webhooks/{hook.id}/deliveries/{delivery.id}/replay"
    assert guarded.post(again, headers=mine).status_code == 202


@pytest.mark.each_database
@pytest.mark.parametrize("path", [V1, "/v1/batches"])
def test_one_idempotency_key_is_each_tenants_own(
    guarded: TestClient, key: Any, row: Any, path: str
) -> None:
    def send(headers: dict[str, str], said: str) -> Any:
        dataset = {"rows": [row(said)], "name": said}
        asked = dataset if path == V1 else {"datasets": [dataset], "name": said}
        return guarded.post(
            path, json=asked, headers={**headers, "Idempotency-Key": "order-1"}
        )

    mine, other = key("mine", *SCOPES), key("other", *SCOPES)
    first = send(mine, "mine")
    assert first.status_code == 202
    same, different = send(other, "mine"), send(key("third", *SCOPES), "else")
    assert (same.status_code, different.status_code) == (202, 202)
    ids = {answer.json()["id"] for answer in (first, same, different)}
    assert len(ids) == 3  # another request under the key would be a 422
    assert first.json()["id"] not in same.text + different.text
    assert different.json()["name"] == "else"
    for headers, answer in ((mine, first), (other, same)):
        assert send(headers, "mine").json()["id"] == answer.json()["id"]
        listed = guarded.get(path, headers=headers).json()["data"]
        assert [each["id"] for each in listed] == [answer.json()["id"]]
        assert send(headers, "x").json()["code"] == "idempotency_key_reused"


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_opens_only_what_it_is_for(
    guarded: TestClient, key: Any, scope: Scope
) -> None:
    headers = key("mine", scope)
    opened = {
        (method, path)
        for method, path in operations(guarded)
        if call(guarded, method, path, headers).status_code != 403
        and path not in PUBLIC
    }
    assert (("get", V1) in opened) == (scope in ("read", "admin"))
    assert (("post", V1) in opened) == (scope in ("submit", "admin"))
    assert (("delete", V1 + "/{screening_id}") in opened) == (scope == "admin")


def test_a_key_that_is_given_counts_where_none_is_asked_for(
    client: TestClient, row: Any, wait: Callable[..., None]
) -> None:
    keys = context_of(client.app).backend.keys
    text = keys.create("acme", "k", frozenset(SCOPES))[1]
    headers = {"Authorization": f"Bearer {text}"}
    screening = finished(client, headers, row, wait)
    assert client.get(f"{V1}/{screening}").status_code == 404
    wrong = {"Authorization": f"Bearer {text[:-2]}zz"}
    assert client.get(V1, headers=wrong).status_code == 401


def test_the_record_names_the_key_and_no_log_shows_it(
    guarded: TestClient,
    key: Any,
    row: Any,
    wait: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    headers = key("mine", *SCOPES)
    screening = finished(guarded, headers, row, wait)
    guarded.delete(f"{V1}/{screening}", headers=headers)
    secret = headers["Authorization"].split("_", 2)[2]
    backend = context_of(guarded.app).backend
    with reading(backend.engine).connect() as connection:
        said = events(connection, screening)
    name = headers["Authorization"].split("_")[1]
    assert [(e.action, e.key) for e in said] == [
        ("accepted", name),
        ("finished", ""),
        ("deleted", name),
    ]
    assert {e.tenant for e in said} == {"mine"}
    assert secret not in caplog.text
    assert secret not in json.dumps([str(each) for each in said])


def test_a_token_of_the_provider_is_as_good_as_a_key(guarded: TestClient) -> None:
    class FakeTokens(Tokens):
        def __init__(self) -> None:
            """Ask no provider."""

        def find(self, text: str) -> Caller | None:
            if text == "down.down.down":
                raise IdentityUnavailable
            good = text == "good.good.good"
            return Caller("acme", "o:1", frozenset({"read"})) if good else None

    context = context_of(guarded.app)
    keep_context(guarded.app, dataclasses.replace(context, tokens=FakeTokens()))

    def ask(text: str, method: str = "GET") -> Any:
        headers = {"Authorization": f"Bearer {text}"}
        return guarded.request(method, V1, headers=headers)

    assert ask("good.good.good").status_code == 200
    assert ask("good.good.good", "POST").json()["code"] == "insufficient_scope"
    assert ask("bad.bad.bad").json()["code"] == "unauthorized"
    away = ask("down.down.down")
    assert (away.status_code, away.json()["code"]) == (503, "identity_unavailable")
    assert away.headers["retry-after"]


def test_a_key_ends_while_the_service_runs(guarded: TestClient, key: Any) -> None:
    headers = key("mine", "read")
    assert guarded.get(V1, headers=headers).status_code == 200
    keys = context_of(guarded.app).backend.keys
    keys.revoke(keys.every("mine")[0].id)
    assert keys.every("mine")[0].ended(datetime.now(UTC))
    assert guarded.get(V1, headers=headers).status_code == 401
