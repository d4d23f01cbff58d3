"""Who is told that a batch ended, on each kind of database."""

import threading
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest

from service.caller import OPEN, Caller
from service.jobs.backend import CANCELLED, Backend
from service.policy import Policy
from service.storage import store
from service.storage.screening import Order
from trial.recipe import Recipe

OTHER = Caller("other")
REPORT = b"{}"


@pytest.fixture
def told(backend: Backend) -> Callable[[], list[dict[str, Any]]]:
    """Return a function that lists what a webhook is told of batches."""
    webhook = backend.webhooks(OPEN).add("https://hooks.example.com/")

    def read() -> list[dict[str, Any]]:
        found, _ = backend.webhooks(OPEN).deliveries(webhook.id, limit=100)
        said = [each.payload for each in found]
        return [each["data"] for each in said if each["type"] == "batch.finished"]

    return read


def accept(backend: Backend, size: int, by: Caller = OPEN) -> tuple[str, list[str]]:
    """Accept a batch; return its id and those of its screenings."""
    order = Order("secret name", Policy(), Recipe(), run_trial=False)
    receive = backend.store.datasets.receive
    asked = [(order, receive(BytesIO(b"%d" % n))) for n in range(size)]
    made = backend.accept_batch("secret name", asked, by)
    return made.id, backend.batches(by).screenings(made.id)


def test_a_batch_is_told_of_with_its_last_screening(
    backend: Backend, told: Callable[[], list[dict[str, Any]]]
) -> None:
    batch, (first, second, last) = accept(backend, 3)
    backend.store.finish(first, "ACCEPT", REPORT)
    backend.store.fail(second, CANCELLED)
    assert told() == []
    assert backend.store.finish(last, "REJECT", REPORT)
    assert not backend.store.finish(last, "ACCEPT", REPORT)
    assert told() == [
        {
            "id": batch,
            "status": "finished",
            "outcome": "REJECT",
            "size": 3,
            "statuses": {"queued": 0, "running": 0, "finished": 2, "failed": 1},
            "outcomes": {"ACCEPT": 1, "REVIEW": 0, "REJECT": 1},
        }
    ]


def test_a_screening_of_no_batch_and_a_batch_of_anothers_are_not_told_of(
    backend: Backend, told: Callable[[], list[dict[str, Any]]]
) -> None:
    order = Order("n", Policy(), Recipe(), run_trial=False)
    upload = backend.store.datasets.receive(BytesIO(b"alone"))
    alone = backend.accept(order, upload, OPEN).id
    _, (anothers,) = accept(backend, 1, OTHER)
    for each in (alone, anothers):
        assert backend.store.finish(each, "ACCEPT", REPORT)
    assert told() == []


def test_two_screenings_that_end_at_the_same_time_end_their_batch_once(
    backend: Backend,
    told: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither commits before the other has looked, unless one waits for the other."""
    both, note = threading.Barrier(2), store.note

    def wait_for_the_other(*given: Any, **named: Any) -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.5)
        note(*given, **named)

    batch, screenings = accept(backend, 2)
    monkeypatch.setattr(store, "note", wait_for_the_other)
    threads = [
        threading.Thread(target=backend.store.finish, args=(each, "ACCEPT", REPORT))
        for each in screenings
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(each["id"], each["outcome"]) for each in told()] == [(batch, "ACCEPT")]


def test_a_worker_that_dies_before_the_commit_has_told_nothing(
    backend: Backend,
    told: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        pass

    def die(*given: Any, **named: Any) -> None:
        raise Killed

    batch, (only,) = accept(backend, 1)
    with monkeypatch.context() as patch:
        patch.setattr(store, "note", die)
        with pytest.raises(Killed):
            backend.store.finish(only, "ACCEPT", REPORT)
    assert told() == []
    assert backend.store.finish(only, "ACCEPT", REPORT)
    assert [each["id"] for each in told()] == [batch]


def test_a_cancelled_batch_is_told_of_once(
    backend: Backend, told: Callable[[], list[dict[str, Any]]]
) -> None:
    batch, _ = accept(backend, 2)
    for _ in range(2):
        backend.cancel_batch(batch, OPEN)
    assert [each["outcome"] for each in told()] == ["REVIEW"]


def test_the_last_open_screening_ends_a_batch_by_its_deletion_too(
    backend: Backend, told: Callable[[], list[dict[str, Any]]]
) -> None:
    batch, (first, second) = accept(backend, 2)
    backend.store.finish(first, "ACCEPT", REPORT)
    backend.delete(second, OPEN)
    [said] = told()
    assert (said["id"], said["outcome"], said["size"]) == (batch, "REVIEW", 2)
    backend.delete(first, OPEN)
    assert len(told()) == 1


def test_a_batch_that_is_deleted_ends_untold(
    backend: Backend, told: Callable[[], list[dict[str, Any]]]
) -> None:
    batch, (_, second) = accept(backend, 2)
    backend.store.finish(second, "ACCEPT", REPORT)
    assert backend.delete_batch(batch, OPEN)
    assert told() == []
