import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from standardwebhooks import Webhook as Verifier

from service.api.app import create_app
from service.caller import OPEN, SCOPES, Caller
from service.jobs.backend import Backend
from service.jobs.deliver import Deliverer
from service.models import Models
from service.policy import default_policy
from service.settings import Settings
from service.storage import webhooks
from service.storage.screening import Order
from service.storage.tables import DELIVERIES
from service.storage.webhooks import WAITS, Delivery, Outbox, Webhook
from trial.recipe import Recipe

D = DELIVERIES.c
OTHER = Caller("other", "", frozenset(SCOPES))


@pytest.fixture
def deliverer(backend: Backend) -> Iterator[Deliverer]:
    settings = backend.settings.model_copy(update={"webhook_private": True})
    made = Deliverer(Outbox(backend.engine), settings)
    yield made
    made.stop()


def finished(backend: Backend, by: Caller = OPEN) -> str:
    """End a screening, so that there is something to be told."""
    order = Order("secret name", default_policy(), Recipe(), run_trial=False)
    upload = backend.store.datasets.receive(BytesIO(b"{}"))
    screening = backend.accept(order, upload, by)
    assert backend.store.finish(screening.id, "REVIEW", b"{}")
    return screening.id


def sent(backend: Backend, webhook: Webhook, by: Caller = OPEN) -> list[Delivery]:
    return backend.webhooks(by).deliveries(webhook.id, limit=50)[0]


def make_due(backend: Backend) -> None:
    with backend.engine.begin() as connection:
        connection.execute(update(DELIVERIES).values(next_at="2020"))


def test_who_asked_is_told_once_signed_and_without_content(
    backend: Backend, deliverer: Deliverer, receiver: Any
) -> None:
    webhook = backend.webhooks(OPEN).add(receiver.url)
    screening = finished(backend)
    assert (deliverer.round(), deliverer.round()) == (1, 0)
    [(headers, body)] = receiver.got
    payload = Verifier(webhook.secret).verify(body, headers)
    assert payload["type"] == "screening.finished"
    assert payload["data"] == {
        "id": screening,
        "status": "finished",
        "outcome": "REVIEW",
        "fault_code": None,
    }
    [delivery] = sent(backend, webhook)
    assert headers["webhook-id"] == delivery.id
    assert (delivery.state, delivery.attempts, delivery.said) == (
        "delivered",
        1,
        "HTTP 204",
    )
    assert b"secret name" not in body


def test_a_receiver_that_fails_is_asked_again_under_one_id_until_the_end(
    backend: Backend, deliverer: Deliverer, receiver: Any
) -> None:
    receiver.status = 500
    webhook = backend.webhooks(OPEN).add(receiver.url)
    finished(backend)
    for attempt in range(len(WAITS) + 1):
        assert sent(backend, webhook)[0].state == "pending"
        make_due(backend)
        assert deliverer.round() == 1, attempt
    assert sent(backend, webhook)[0].state == "dead"
    assert deliverer.round() == 0
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len(receiver.got) == 10
    [delivery] = sent(backend, webhook)
    receiver.status = 200
    assert backend.webhooks(OPEN).replay(webhook.id, delivery.id)
    assert deliverer.round() == 1
    assert sent(backend, webhook)[0].state == "delivered"


SECOND, MINUTE, HOUR = 1, 60, 3_600
SUGGESTED = [
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
]
"""The spec's suggestion of when to send again, after the attempt at once."""


@pytest.mark.parametrize("jitter", [0.0, 0.1])
def test_each_wait_is_that_which_the_spec_suggests(
    backend: Backend, jitter: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "JITTER", jitter)
    webhook = backend.webhooks(OPEN).add("https://example.com/")
    finished(backend)
    outbox, waits = Outbox(backend.engine), []
    for number in range(1, len(SUGGESTED) + 1):
        make_due(backend)
        [(delivery, _)] = outbox.claim()
        assert delivery.attempts == number
        outbox.settle(delivery, done=False, said="HTTP 503", gone=False)
        ended = datetime.now(UTC)
        [shown] = sent(backend, webhook)
        assert shown.next_at is not None
        waits.append((datetime.fromisoformat(shown.next_at) - ended).total_seconds())
    for wait, suggested in zip(waits, SUGGESTED, strict=True):
        assert suggested - 1 <= wait <= suggested * (1 + jitter)
    make_due(backend)
    [(last, _)] = outbox.claim()
    outbox.settle(last, done=False, said="HTTP 503", gone=False)
    assert (last.attempts, sent(backend, webhook)[0].state) == (10, "dead")


def test_a_redirect_is_not_followed(
    backend: Backend, deliverer: Deliverer, receiver: Any
) -> None:
    receiver.status = 302
    webhook = backend.webhooks(OPEN).add(receiver.url)
    finished(backend)
    deliverer.round()
    assert sent(backend, webhook)[0].said == "HTTP 302"


def test_one_who_is_gone_is_told_no_more(
    backend: Backend, deliverer: Deliverer, receiver: Any
) -> None:
    receiver.status = 410
    webhook = backend.webhooks(OPEN).add(receiver.url)
    finished(backend)
    deliverer.round()
    assert sent(backend, webhook)[0].state == "dead"


def test_a_name_that_leads_inside_later_is_not_called(
    backend: Backend, receiver: Any
) -> None:
    """DNS rebinding: the name was public when the webhook was added."""
    deliverer = Deliverer(
        Outbox(backend.engine), backend.settings, resolve=lambda *_: ["127.0.0.1"]
    )
    port = receiver.url.rsplit(":", 1)[1]
    webhook = backend.webhooks(OPEN).add(f"https://rebound.example.com:{port}")
    finished(backend)
    deliverer.round()
    deliverer.stop()
    assert receiver.got == []
    assert "public internet" in sent(backend, webhook)[0].said


def test_two_processes_do_not_make_one_attempt_twice(
    backend: Backend, receiver: Any
) -> None:
    backend.webhooks(OPEN).add(receiver.url)
    finished(backend)
    outbox, claimed = Outbox(backend.engine), []
    threads = [
        threading.Thread(target=lambda: claimed.extend(outbox.claim()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == 1


def test_an_attempt_under_way_is_made_by_nobody_else_until_it_must_have_ended(
    backend: Backend,
) -> None:
    """Also where it lasts longer than the first wait of the schedule."""
    webhook = backend.webhooks(OPEN).add("https://example.com/")
    finished(backend)
    outbox = Outbox(backend.engine)
    assert len(outbox.claim(lease_seconds=45.0)) == 1
    due = datetime.fromisoformat(sent(backend, webhook)[0].next_at or "")
    assert 43 < (due - datetime.now(UTC)).total_seconds() <= 45
    assert Outbox(backend.engine).claim() == []


def test_an_attempt_of_one_that_died_is_made_again(backend: Backend) -> None:
    backend.webhooks(OPEN).add("https://example.com/")
    finished(backend)
    [(lost, _)] = Outbox(backend.engine).claim(lease_seconds=0.0)
    [(again, _)] = Outbox(backend.engine).claim()
    assert (lost.id, lost.attempts, again.attempts) == (again.id, 1, 2)
    # What the one says who was thought dead changes nothing any more.
    Outbox(backend.engine).settle(lost, done=True, said="HTTP 204", gone=False)
    assert sent(backend, backend.webhooks(OPEN).every()[0])[0].state == "pending"


def test_a_tenant_is_told_of_its_own_alone(
    backend: Backend, deliverer: Deliverer, receiver: Any
) -> None:
    webhook = backend.webhooks(OTHER).add(receiver.url)
    finished(backend, OPEN)
    assert deliverer.round() == 0
    own = finished(backend, OTHER)
    assert deliverer.round() == 1
    assert own.encode() in receiver.got[0][1]
    [delivery] = sent(backend, webhook, OTHER)
    mine = backend.webhooks(OPEN)
    assert mine.every() == []
    assert mine.deliveries(webhook.id, limit=5) == ([], False)
    assert not mine.replay(webhook.id, delivery.id)
    assert not mine.remove(webhook.id)


def test_what_was_to_be_sent_to_a_webhook_removed_is_not(
    backend: Backend, deliverer: Deliverer, receiver: Any
) -> None:
    webhook = backend.webhooks(OPEN).add(receiver.url)
    finished(backend)
    assert backend.webhooks(OPEN).remove(webhook.id)
    assert not backend.webhooks(OPEN).remove(webhook.id)
    assert deliverer.round() == 0
    finished(backend)
    assert deliverer.round() == 0
    assert receiver.got == []


@pytest.fixture
def inside(
    settings: Settings, models: Models, runner: Any, wait: Callable[..., None]
) -> Iterator[TestClient]:
    """Serve with webhooks into our own network."""
    asked = settings.model_copy(update={"webhook_private": True})
    with TestClient(create_app(asked, load=lambda: models, runner=runner)) as client:
        wait(lambda: client.get("/readyz").status_code == 200)
        yield client


def test_a_webhook_is_added_told_and_replayed_over_http(
    inside: TestClient, receiver: Any, row: Any, wait: Callable[..., None]
) -> None:
    made = inside.post("/v1/webhooks", json={"url": receiver.url}).json()
    listed = inside.get("/v1/webhooks").json()["data"]
    assert listed == [{k: made[k] for k in ("id", "url", "created_at")}]
    inside.post("/v1/screenings", json={"rows": [row()]})
    wait(lambda: len(receiver.got) == 1)
    path = f"/v1/webhooks/{made['id']}/deliveries"
    wait(lambda: inside.get(path).json()["data"][0]["state"] == "delivered")
    [delivery] = inside.get(path).json()["data"]
    assert inside.get(path, params={"state": "dead"}).json()["data"] == []
    assert inside.get(path, params={"cursor": "x"}).status_code == 422
    assert inside.post(f"{path}/{delivery['id']}/replay").status_code == 202
    wait(lambda: len(receiver.got) == 2)
    assert {headers["webhook-id"] for headers, _ in receiver.got} == {delivery["id"]}
    assert inside.delete(f"/v1/webhooks/{made['id']}").status_code == 204
    for method, gone in (("get", path), ("post", f"{path}/{delivery['id']}/replay")):
        answer = inside.request(method, gone)
        assert answer.json()["code"] == "webhook_not_found"


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://127.0.0.1/", "https://localhost/", "x", ""]
)
def test_a_webhook_into_our_own_network_is_refused(
    client: TestClient, url: str
) -> None:
    answer = client.post("/v1/webhooks", json={"url": url})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
