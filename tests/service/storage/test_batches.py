"""Batches on each kind of database, without processes."""

import threading
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from sqlalchemy import func, select, update

from service.caller import OPEN, Caller
from service.jobs.backend import Backend
from service.policy import Policy
from service.storage.batch import Batch
from service.storage.batches import Batches, _digest, sweep_batches
from service.storage.datasets import Upload
from service.storage.once import NEVER, Once
from service.storage.screening import Order
from service.storage.store import KeyReused, QueueFull
from service.storage.tables import BATCHES, SCREENINGS
from trial.recipe import Recipe

OTHER = Caller("other")


def asked(backend: Backend, *texts: bytes) -> list[tuple[Order, Upload]]:
    order = Order("data.jsonl", Policy(), Recipe(), run_trial=False)
    receive = backend.store.datasets.receive
    return [(order, receive(BytesIO(text))) for text in texts]


def count(backend: Backend, table: Any) -> int:
    with backend.engine.connect() as connection:
        found = connection.execute(select(func.count()).select_from(table))
        return int(found.scalar_one())


def test_a_batch_is_the_tenants_alone(backend: Backend) -> None:
    made = backend.accept_batch("b", asked(backend, b"1", b"2"), OPEN)
    assert (made.size, made.status, made.statuses) == (2, "queued", {"queued": 2})
    assert backend.batches(OPEN).find(made.id) == made
    ids = backend.batches(OPEN).screenings(made.id)
    assert len(ids) == 2
    others = backend.batches(OTHER)
    assert others.find(made.id) is None
    assert others.screenings(made.id) == []
    assert backend.cancel_batch(made.id, OTHER) is None
    assert not backend.delete_batch(made.id, OTHER)
    assert not backend.cancel(ids[0], OTHER)
    assert backend.holdings(OTHER).page(limit=10, batch=made.id) == ([], False)
    with pytest.raises(KeyError):
        others.page(after=made.id, limit=1)
    assert backend.batches(OPEN).find(made.id) == made


def test_the_next_page_follows_though_all_of_this_one_is_deleted(
    backend: Backend,
) -> None:
    ids = [backend.accept_batch(name, asked(backend, b"1"), OPEN).id for name in "abc"]
    batches = backend.batches(OPEN)
    page, cursor = batches.page(limit=2)
    assert [each.id for each in page] == [ids[2], ids[1]]
    for old in (ids[1], cursor):  # cursors were ids
        assert [each.id for each in batches.page(after=old, limit=2)[0]] == [ids[0]]
    assert all(backend.delete_batch(each.id, OPEN) for each in page)
    left, end = batches.page(after=cursor, limit=2)
    assert ([each.id for each in left], end) == ([ids[0]], "")
    for wrong in (ids[1], f"{ids[1]}.", f"{ids[1]}.{'9' * 19}", "1"):
        with pytest.raises(KeyError):
            batches.page(after=wrong, limit=1)


def test_one_too_many_and_none_is_taken(backend: Backend) -> None:
    with pytest.raises(QueueFull):
        backend.accept_batch("b", asked(backend, b"1", b"2", b"3", b"4"), OPEN)
    assert (count(backend, BATCHES), count(backend, SCREENINGS)) == (0, 0)
    assert backend.store.objects.keys("incoming") == []
    assert backend.store.objects.keys("datasets") == []
    backend.accept_batch("b", asked(backend, b"1", b"2", b"3"), OPEN)


def test_the_same_key_at_the_same_time_makes_one_batch(backend: Backend) -> None:
    made: list[Batch] = []
    given = [asked(backend, b"1", b"1") for _ in range(3)]
    threads = [
        threading.Thread(
            target=lambda each=each: made.append(
                backend.accept_batch("b", each, OPEN, Once("key", "a"))
            )
        )
        for each in given
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({batch.id for batch in made}) == 1
    assert (count(backend, BATCHES), count(backend, SCREENINGS)) == (1, 2)
    with pytest.raises(KeyReused):
        backend.accept_batch("b", asked(backend, b"2"), OPEN, Once("key", "b"))
    again = backend.accept_batch("b", asked(backend, b"2"), OTHER, Once("key", "b"))
    assert again.id != made[0].id


def test_a_key_from_before_the_upgrade_still_fits_its_batch(backend: Backend) -> None:
    given, late = asked(backend, b"1", b"2"), Once("key", "late")
    made = backend.accept_batch("b", given, OPEN, Once("key", "early"))
    with backend.engine.begin() as connection:
        connection.execute(update(BATCHES).values(request=_digest("b", given)))
    again = backend.accept_batch("b", asked(backend, b"1", b"2"), OPEN, late)
    assert again.id == made.id
    with pytest.raises(KeyReused):
        backend.accept_batch("c", asked(backend, b"1", b"2"), OPEN, late)


def test_a_key_is_looked_for_again_where_its_own_rows_took_the_last_room(
    backend: Backend,
) -> None:
    """A retry may count the rows of the first try just before it sees its key."""
    calls: list[int] = []

    def accept() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise QueueFull
        return "what the first one made"

    with pytest.raises(QueueFull):
        backend.store.in_turn(accept, [], NEVER)
    calls.clear()
    assert backend.store.in_turn(accept, [], Once("key")) == "what the first one made"


def test_batches_over_the_same_datasets_do_not_lock_each_other_out(
    backend: Backend,
) -> None:
    """Each locks the datasets in one order, whatever order they were given in."""
    texts = [b"1", b"2"]
    failed: list[Exception] = []

    def accept(order: list[bytes], caller: Caller) -> None:
        for _ in range(5):
            try:
                batch = backend.accept_batch("b", asked(backend, *order), caller)
                backend.delete_batch(batch.id, caller)
            except QueueFull:
                pass
            except Exception as error:
                failed.append(error)

    threads = [
        threading.Thread(target=accept, args=(texts, OPEN)),
        threading.Thread(target=accept, args=(texts[::-1], OTHER)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert backend.store.objects.keys("datasets") == []


def test_a_batch_goes_with_its_last_screening(backend: Backend) -> None:
    made = backend.accept_batch("b", asked(backend, b"1", b"2"), OPEN)
    first, last = backend.batches(OPEN).screenings(made.id)
    for screening, kept in ((first, 1), (last, 0)):
        backend.delete(screening, OPEN)
        with backend.engine.begin() as connection:
            sweep_batches(connection)
        assert count(backend, BATCHES) == kept


def test_a_batch_that_waits_is_queued_whatever_of_it_is_deleted(
    backend: Backend,
) -> None:
    made = backend.accept_batch("b", asked(backend, b"1", b"2", b"3"), OPEN)
    first, second, _ = backend.batches(OPEN).screenings(made.id)
    backend.delete(first, OPEN)
    left = backend.batches(OPEN).find(made.id)
    assert left is not None
    assert (left.size, left.status, left.statuses) == (3, "queued", {"queued": 2})
    backend.store.start(second)
    begun = backend.batches(OPEN).find(made.id)
    assert begun is not None
    assert begun.status == "running"


class HeldUp:
    """A queue that holds every acceptance up, inside its transaction."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.waiting: list[str] = []

    def enqueue(self, connection: object, screening_id: str, *_: str) -> None:
        self.waiting.append(screening_id)
        assert self.let_go.wait(30)


def test_acceptances_on_sqlite_wait_for_their_turn_and_not_for_a_lock(
    backend: Backend, wait: Callable[..., None]
) -> None:
    """Who waits for a lock of SQLite sleeps, and those that come later are first."""
    queue = HeldUp()
    batches = Batches(backend.store, queue, OPEN)
    [one], [two], [(order, upload)] = (
        asked(backend, text) for text in (b"1", b"2", b"3")
    )
    store = backend.store
    acts: list[Callable[[], object]] = [
        lambda: batches.accept("b", [one]),
        lambda: batches.accept("b", [two]),
        lambda: store.accept(order, upload, queue, by=OPEN),
    ]
    threads = [threading.Thread(target=act) for act in acts]
    for thread in threads:
        thread.start()
    at_once = 1 if backend.engine.dialect.name == "sqlite" else len(acts)
    wait(lambda: len(queue.waiting) == at_once)
    time.sleep(0.3)  # long enough for the others to ask for a connection, if they do
    held = backend.engine.pool.status()
    queue.let_go.set()
    for thread in threads:
        thread.join()
    assert f"Current Checked out connections: {at_once}" in held
    assert count(backend, SCREENINGS) == 3
