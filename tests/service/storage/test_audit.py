import threading
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from service.caller import Caller
from service.jobs.backend import Backend
from service.storage import audit
from service.storage.audit import START, Verification
from service.storage.database import reading
from service.storage.tables import AUDIT_EVENTS

A = AUDIT_EVENTS.c
BY = Caller("acme", "0123456789ab")


def write(backend: Backend, *actions: str) -> None:
    for action in actions:
        with backend.engine.begin() as connection:
            audit.note(connection, "2026", action, "scr_1", {"n": 1, "x": "é"}, by=BY)


def verify(backend: Backend, head: str = "") -> Verification:
    with reading(backend.engine).connect() as connection:
        return audit.verify(connection, head)


def tamper(backend: Backend, change: Any) -> None:
    """Change the record as someone with the rights to drop its triggers can."""
    with backend.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE audit_events DISABLE TRIGGER USER"))
        else:
            connection.execute(text("DROP TRIGGER audit_events_no_update"))
            connection.execute(text("DROP TRIGGER audit_events_no_delete"))
        connection.execute(change)


def test_an_empty_record_is_whole(backend: Backend) -> None:
    assert verify(backend) == Verification(0, START, None, True)


def test_a_record_as_written_is_whole(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "BATCH", 2)
    write(backend, "a", "b", "c", "d")
    first = verify(backend)
    assert (first.events, first.right) == (4, True)
    write(backend, "e")
    assert verify(backend, first.head).right
    assert not verify(backend, "f" * 64).right


@pytest.mark.parametrize(
    "change",
    [
        update(AUDIT_EVENTS).where(A.number == 2).values(action="other"),
        update(AUDIT_EVENTS).where(A.number == 2).values(facts={"n": 2, "x": "é"}),
        update(AUDIT_EVENTS).where(A.number == 2).values(tenant="other"),
        update(AUDIT_EVENTS).where(A.number == 2).values(key=""),
        update(AUDIT_EVENTS).where(A.number == 2).values(at="2025"),
        update(AUDIT_EVENTS).where(A.number == 2).values(number=9),
        delete(AUDIT_EVENTS).where(A.number == 2),
    ],
)
def test_an_event_changed_moved_or_removed_breaks_the_chain(
    backend: Backend, change: Any
) -> None:
    write(backend, "a", "b", "c")
    tamper(backend, change)
    found = verify(backend)
    assert not found.right
    assert found.broken_at in (2, 3)
    assert found.events == 1


def test_an_event_put_in_breaks_the_chain(backend: Backend) -> None:
    write(backend, "a", "b")
    with reading(backend.engine).connect() as connection:
        row = dict(connection.execute(select(AUDIT_EVENTS)).mappings().all()[1])
    with backend.engine.begin() as connection:
        connection.execute(insert(AUDIT_EVENTS).values(**{**row, "number": 77}))
    assert verify(backend).broken_at == 77


def test_a_record_cut_off_at_its_end_is_known_by_the_head_kept(
    backend: Backend,
) -> None:
    write(backend, "a", "b", "c")
    head = verify(backend).head
    tamper(backend, delete(AUDIT_EVENTS).where(A.number == 3))
    assert verify(backend).right
    assert not verify(backend, head).right


@pytest.mark.parametrize(
    "change", [delete(AUDIT_EVENTS), update(AUDIT_EVENTS).values(action="other")]
)
def test_the_database_refuses_to_change_the_record(
    backend: Backend, change: Any
) -> None:
    write(backend, "a")
    with (
        pytest.raises(DBAPIError, match="append-only"),
        backend.engine.begin() as connection,
    ):
        connection.execute(change)


def test_events_written_at_once_form_one_chain(backend: Backend) -> None:
    threads = [
        threading.Thread(target=write, args=(backend, *"abcdefgh")) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = verify(backend)
    assert (found.events, found.right) == (32, True)
