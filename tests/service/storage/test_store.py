import hashlib
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from service.caller import OPEN, Caller
from service.jobs.backend import Backend
from service.policy import default_policy
from service.storage.audit import events
from service.storage.checkpoint import Checkpoints
from service.storage.database import reading
from service.storage.screening import Fault, Order, Screening
from service.storage.store import QueueFull
from service.storage.tables import DATASETS, SCREENINGS
from trial.recipe import Recipe

ROWS = b'{"prompt": "a", "completion": "b"}\n'
FAULT = Fault("x", "why")


def submit(backend: Backend, name: str = "n", content: bytes = ROWS) -> Screening:
    order = Order(name, default_policy(), Recipe(targets=("q",)), run_trial=True)
    upload = backend.store.datasets.receive(BytesIO(content))
    return backend.accept(order, upload, OPEN)


def dataset_keys(backend: Backend) -> list[str]:
    return backend.store.objects.keys("datasets")


def test_what_was_accepted_is_what_is_worked_on(backend: Backend) -> None:
    screening = submit(backend, "rows \x00 \ud800")
    job = backend.store.job(screening.id)
    assert job is not None
    assert job.order.policy == default_policy()
    assert job.order.recipe == Recipe(targets=("q",))
    assert job.order.name == "rows \ufffd \ufffd"
    assert job.dataset == hashlib.sha256(ROWS).hexdigest()
    with backend.store.datasets.path(job.dataset) as path:
        assert path.read_bytes() == ROWS


def test_a_screening_ends_once(backend: Backend) -> None:
    store, screening = backend.store, submit(backend)
    assert store.start(screening.id)
    assert store.move(screening.id, "tune", 1, 2)
    assert store.finish(screening.id, "REVIEW", b"{}")
    assert not store.finish(screening.id, "ACCEPT", b'{"other": 1}')
    assert not store.fail(screening.id, FAULT)
    assert not store.start(screening.id)
    assert store.job(screening.id) is None
    found = store.get(screening.id)
    assert found is not None
    assert (found.status, found.outcome, found.fault) == ("finished", "REVIEW", None)
    assert backend.holdings(OPEN).report(screening.id) == b"{}"
    with reading(store.engine).connect() as connection:
        said = events(connection, screening.id)
    assert [each.action for each in said] == ["accepted", "finished"]
    assert said[1].facts["outcome"] == "REVIEW"
    assert said[1].facts["report"] == hashlib.sha256(b"{}").hexdigest()


def test_a_failure_is_kept_with_its_reason(backend: Backend) -> None:
    screening = submit(backend)
    assert backend.store.fail(screening.id, FAULT)
    found = backend.store.get(screening.id)
    assert found is not None
    assert (found.status, found.fault) == ("failed", FAULT)


def test_more_than_may_be_open_are_refused_and_leave_nothing(backend: Backend) -> None:
    for number in range(3):
        submit(backend, content=ROWS * (number + 1))
    with pytest.raises(QueueFull):
        submit(backend, content=b"another")
    assert len(dataset_keys(backend)) == 3
    assert backend.store.objects.keys("incoming") == []


def test_a_screening_that_could_not_be_queued_was_never_accepted(
    backend: Backend,
) -> None:
    class Broken:
        def enqueue(self, connection: object, screening_id: str, *_: str) -> None:
            raise OSError("gone")

    upload = backend.store.datasets.receive(BytesIO(ROWS))
    order = Order("n", default_policy(), Recipe(), run_trial=False)
    with pytest.raises(OSError, match="gone"):
        backend.store.accept(order, upload, Broken(), by=OPEN)
    assert backend.holdings(OPEN).page(limit=5) == ([], False)
    assert dataset_keys(backend) == []


def test_equal_datasets_are_kept_once_and_as_long_as_one_needs_them(
    backend: Backend,
) -> None:
    first, second = submit(backend), submit(backend)
    assert len(dataset_keys(backend)) == 1
    assert backend.delete(first.id, OPEN)
    job = backend.store.job(second.id)
    assert job is not None
    with backend.store.datasets.path(job.dataset) as path:
        assert path.read_bytes() == ROWS
    assert backend.delete(second.id, OPEN)
    assert dataset_keys(backend) == []
    with reading(backend.engine).connect() as connection:
        assert connection.execute(select(func.count()).select_from(DATASETS)).one() == (
            0,
        )


def test_a_deletion_takes_all_content_and_leaves_the_record(backend: Backend) -> None:
    screening = submit(backend, "my secret name")
    kept = Checkpoints(backend.store.objects, screening.id)
    kept.put("scores-x", ("secret excerpt",))
    backend.store.objects.put(f"screenings/{screening.id}/adapter/w.bin", b"secret")
    assert backend.store.finish(screening.id, "REJECT", b"secret report")
    assert backend.delete(screening.id, OPEN)
    assert not backend.delete(screening.id, OPEN)
    assert backend.store.get(screening.id) is None
    assert backend.store.objects.keys("screenings") == []
    assert dataset_keys(backend) == []
    with pytest.raises(FileNotFoundError):
        backend.holdings(OPEN).report(screening.id)
    with reading(backend.engine).connect() as connection:
        said = events(connection, screening.id)
        left = connection.execute(select(SCREENINGS)).all()
    assert [each.action for each in said] == ["accepted", "finished", "deleted"]
    assert "secret" not in repr(said) + repr(left)


def test_what_a_step_writes_after_the_deletion_is_cleared_too(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    screening = submit(backend)
    backend.delete(screening.id, OPEN)
    Checkpoints(backend.store.objects, screening.id).put("scores-x", ("late",))
    assert backend.deletion.finish() == []
    monkeypatch.setattr("service.storage.deletion.GRACE_SECONDS", -1.0)
    assert backend.deletion.finish() == [screening.id]
    assert backend.deletion.finish() == []
    assert backend.store.objects.keys("screenings") == []


def test_what_happens_after_a_deletion_is_forgotten(backend: Backend) -> None:
    screening = submit(backend)
    assert backend.delete(screening.id, OPEN)
    assert not backend.store.start(screening.id)
    assert not backend.store.move(screening.id, "tune", 1, 2)
    assert not backend.store.finish(screening.id, "ACCEPT", b"{}")
    assert not backend.store.fail(screening.id, FAULT)


def test_only_the_oldest_that_are_over_are_dropped(backend: Backend) -> None:
    running, first, second = submit(backend), submit(backend), submit(backend)
    backend.store.finish(first.id, "ACCEPT", b"{}")
    backend.store.finish(second.id, "ACCEPT", b"{}")
    third = submit(backend)
    assert backend.deletion.trim(2) == [first.id, second.id]
    found, more = backend.holdings(OPEN).page(limit=10)
    assert [s.id for s in found] == [third.id, running.id]
    assert not more


def test_those_that_ended_long_ago_expire(backend: Backend) -> None:
    old, new, running = submit(backend), submit(backend), submit(backend)
    for each in (old, new):
        backend.store.fail(each.id, FAULT)
    with backend.engine.begin() as connection:
        row = update(SCREENINGS).where(SCREENINGS.c.id == old.id)
        connection.execute(row.values(finished_at="2020-01-01T00:00:00.000+00:00"))
    assert backend.deletion.expire(30) == [old.id]
    assert [s.id for s in backend.holdings(OPEN).page(limit=5)[0]] == [
        running.id,
        new.id,
    ]


def test_screenings_are_paged_newest_first(backend: Backend) -> None:
    ids = [submit(backend).id for _ in range(3)]
    first, more = backend.holdings(OPEN).page(limit=2)
    assert ([s.id for s in first], more) == ([ids[2], ids[1]], True)
    last, more = backend.holdings(OPEN).page(after=ids[1], limit=2)
    assert ([s.id for s in last], more) == ([ids[0]], False)
    assert backend.holdings(OPEN).page(limit=9, status="failed") == ([], False)
    for unknown in ("none", "\x00", f"scr_{'0' * 24}"):
        with pytest.raises(KeyError):
            backend.holdings(OPEN).page(after=unknown, limit=1)
        assert backend.store.get(unknown) is None


def test_the_next_page_follows_though_all_of_this_one_is_deleted(
    backend: Backend,
) -> None:
    ids = [submit(backend).id for _ in range(3)]
    holdings = backend.holdings(OPEN)
    page, _ = holdings.page(limit=2)
    assert all(backend.delete(each.id, OPEN) for each in page)
    left, more = holdings.page(after=page[-1].id, limit=2)
    assert ([each.id for each in left], more) == ([ids[0]], False)
    with pytest.raises(KeyError):
        backend.holdings(Caller("other")).page(after=page[-1].id, limit=2)


def test_uploads_that_nobody_claimed_are_swept(backend: Backend) -> None:
    store = backend.store
    screening = submit(backend)
    store.datasets.receive(BytesIO(b"left by a crash"))
    store.objects.put(f"datasets/{'0' * 64}", b"moved, then a crash")
    store.datasets.sweep(store.engine, now=0.0)
    assert len(store.objects.keys("incoming")) == 1
    assert len(dataset_keys(backend)) == 1
    store.datasets.sweep(store.engine, now=4e9)
    assert store.objects.keys("incoming") == []
    assert store.job(screening.id) is not None


def test_an_upload_that_breaks_off_leaves_nothing(
    backend: Backend, tmp_path: Path
) -> None:
    class Torn(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        backend.store.datasets.receive(Torn())
    assert backend.store.objects.keys("incoming") == []
