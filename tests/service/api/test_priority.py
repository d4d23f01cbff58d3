"""How soon a screening is worked on, as a request asks for it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.api.context import context_of
from service.caller import SCOPES
from service.jobs.queues import RANKS
from service.models import Models
from service.settings import Settings

V1 = "/v1/screenings"
BATCHES = "/v1/batches"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Work on nothing: what is queued stays there."""
    return settings.model_copy(update={"queues": (), "max_queued": 20})


def rank(client: TestClient, screening: str) -> int:
    queues = context_of(client.app).backend.queues
    [found] = queues._client.list_workflows(workflow_ids=[screening])
    return int(found.priority or 0)


def test_a_screening_is_queued_with_the_priority_that_was_asked_for(
    client: TestClient, row: Any
) -> None:
    for asked in ({}, *({"priority": each} for each in RANKS)):
        wanted = asked.get("priority", "normal")
        made = client.post(V1, json={"rows": [row()], **asked}).json()
        assert made["priority"] == wanted
        assert client.get(made["links"]["self"]).json()["priority"] == wanted
        assert rank(client, made["id"]) == RANKS[wanted]


def test_a_form_has_the_field_too(
    client: TestClient, write: Callable[..., Path]
) -> None:
    file = {"file": ("a.jsonl", write().read_bytes())}
    made = client.post(V1, files=file, data={"priority": "low"}).json()
    assert (made["priority"], rank(client, made["id"])) == ("low", RANKS["low"])
    made = client.post(BATCHES, files=file, data={"priority": "high"}).json()
    assert rank(client, made["screenings"][0]) == RANKS["high"]


def test_every_screening_of_a_batch_has_its_priority(
    client: TestClient, row: Any
) -> None:
    datasets = [{"rows": [row()]}, {"rows": [row("x")]}]
    made = client.post(BATCHES, json={"datasets": datasets, "priority": "low"}).json()
    ranks = [rank(client, each) for each in made["screenings"]]
    assert ranks == [RANKS["low"]] * 2


def test_a_priority_that_is_none_is_named(
    client: TestClient, row: Any, write: Callable[..., Path]
) -> None:
    file = {"file": ("a.jsonl", write().read_bytes())}
    for path in (V1, BATCHES):
        said = [
            client.post(path, json={"rows": [row()], "priority": "urgent"}),
            client.post(path, json={"rows": [row()], "priority": 1}),
            client.post(path, files=file, data={"priority": "urgent"}),
        ]
        for answer in said:
            assert answer.status_code == 422
            assert "priority" in answer.json()["detail"]
    assert client.get(V1).json()["data"] == []


def test_another_priority_under_one_key_is_another_request(
    client: TestClient, row: Any
) -> None:
    headers, asked = {"Idempotency-Key": "order-1"}, {"rows": [row()]}
    first = client.post(V1, json=asked, headers=headers).json()
    same = {**asked, "priority": "normal"}
    assert client.post(V1, json=same, headers=headers).json()["id"] == first["id"]
    other = client.post(V1, json={**asked, "priority": "low"}, headers=headers)
    assert other.json()["code"] == "idempotency_key_reused"


@pytest.fixture
def guarded(settings: Settings, models: Models) -> Iterator[TestClient]:
    """Serve with keys, where one tenant may go before all others."""
    asked = {"auth": "keys", "high_priority_tenants": ("vip",)}
    app = create_app(settings.model_copy(update=asked), load=lambda: models)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_only_tenants_that_the_operator_names_go_before_the_others(
    guarded: TestClient, row: Any, write: Callable[..., Path]
) -> None:
    keys = context_of(guarded.app).backend.keys
    texts = {t: keys.create(t, "k", frozenset(SCOPES))[1] for t in ("vip", "acme")}
    vip, acme = ({"Authorization": f"Bearer {texts[t]}"} for t in ("vip", "acme"))
    high = {"rows": [row()], "priority": "high"}
    assert guarded.post(V1, json=high, headers=vip).status_code == 202
    file = {"file": ("a.jsonl", write().read_bytes())}
    batch = {"datasets": [{"rows": [row()]}], "priority": "high"}
    for answer in (
        guarded.post(V1, json=high, headers=acme),
        guarded.post(V1, files=file, data={"priority": "high"}, headers=acme),
        guarded.post(BATCHES, json=batch, headers=acme),
    ):
        assert answer.status_code == 403
        assert answer.json()["code"] == "priority_not_allowed"
    assert guarded.get(V1, headers=acme).json()["data"] == []
    objects = context_of(guarded.app).backend.store.objects
    assert objects.keys("incoming") == []
    for each in ("low", "normal"):
        asked = {"rows": [row()], "priority": each}
        assert guarded.post(V1, json=asked, headers=acme).status_code == 202
