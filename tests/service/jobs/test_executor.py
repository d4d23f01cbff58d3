"""Processes that run screenings: who lives, who takes over, and how a screening ends
that its process could not."""

import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from typing import Any

import pytest
from dbos._schemas.system_database import SystemSchema
from sqlalchemy import MetaData, select, text, update

from service.caller import OPEN
from service.jobs.backend import Backend
from service.jobs.executor import Executor
from service.jobs.queues import WORKFLOW_VERSION
from service.policy import default_policy
from service.storage.database import reading
from service.storage.screening import Order
from service.storage.tables import AUDIT_EVENTS, EXECUTORS
from trial.recipe import Recipe

V1 = "/v1/screenings"
EVERY = ["ingest", "detect", "trial"]
API = {"api": []}
ONE = {"one": EVERY, **API}
ROWS = ["Where is my parcel?"] * 20
LEASE = 1.5
MARK = "wy9tq4 a word of a row"


@pytest.fixture
def limit() -> float:
    """Return the seconds that a screening may take."""
    return 0.0


@pytest.fixture
def moderation() -> bool:
    """Say whether rows go out."""
    return False


@pytest.fixture
def options(
    options: dict[str, Any], moderated: dict[str, Any], limit: float, moderation: bool
) -> dict[str, Any]:
    out = moderated if moderation else {}
    return {**options, **out, "lease_seconds": LEASE, "timeout_seconds": limit}


def rows(said: str, count: int = 20) -> list[str]:
    return [f"{said} {number}" for number in range(count)]


def screening(service: Any, id_: str) -> dict[str, Any]:
    found: dict[str, Any] = service.ask("GET", f"{V1}/{id_}").json()
    return found


def at(drill: Any, id_: str, stage: str) -> Callable[[], bool]:
    """Return whether work on a screening came to a stage."""
    return lambda: any(line.stage == stage for line in drill.log.lines(id_))


def begun(drill: Any, id_: str) -> list[tuple[int, str]]:
    lines = drill.log.lines(id_)
    return [(line.pid, line.item) for line in lines if line.what == "begun"]


def events(kept: Backend, id_: str) -> list[str]:
    asked = select(AUDIT_EVENTS.c.action).where(AUDIT_EVENTS.c.subject == id_)
    with reading(kept.engine).connect() as connection:
        return list(connection.execute(asked.order_by(AUDIT_EVENTS.c.number)).scalars())


def executor(kept: Backend, lease_seconds: float = 1.0) -> Executor:
    return Executor(kept.engine, lease_seconds=lease_seconds)


@pytest.fixture
def elsewhere(kept: Backend, monkeypatch: pytest.MonkeyPatch) -> Executor:
    """Return a process of another host, where process ids mean nothing here."""
    with monkeypatch.context() as patch:
        patch.setattr("service.jobs.executor.host", lambda: "another host")
        found = executor(kept)
    found.beat()
    return found


@contextmanager
def beating(found: Executor) -> Iterator[None]:
    """Have an executor say that it lives."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.2):
            found.beat()

    thread = threading.Thread(target=beat)
    thread.start()
    yield
    ended.set()
    thread.join()


def claimed(kept: Backend, by: Executor) -> str:
    """Return a screening that an executor took from the queue."""
    content = b"".join(
        json.dumps({"prompt": each, "completion": "Yes."}).encode() + b"\n"
        for each in ROWS
    )
    order = Order("rows", default_policy(), Recipe(), run_trial=True)
    id_ = kept.accept(order, kept.store.datasets.receive(BytesIO(content)), OPEN).id
    database = kept.queues._client._sys_db  # as a worker of that id would ask
    queue = database.get_queue("detect")
    assert queue is not None
    taken, _ = database.start_queued_workflows(queue, by.id, WORKFLOW_VERSION, None)
    assert taken == [id_]
    return id_


def test_no_two_executors_have_one_id(kept: Backend) -> None:
    assert len({executor(kept).id for _ in range(200)}) == 200


def test_one_of_another_host_is_dead_once_it_is_silent_for_the_lease(
    kept: Backend, elsewhere: Executor
) -> None:
    patient, strict = executor(kept, 60.0), executor(kept, 1.0)
    assert strict.dead() == []
    with kept.engine.begin() as connection:
        past = update(EXECUTORS).values(seen_at=EXECUTORS.c.seen_at - 2.0)
        connection.execute(past.where(EXECUTORS.c.id == elsewhere.id))
    assert strict.dead() == [elsewhere.id]
    assert patient.dead() == []
    elsewhere.beat()
    assert strict.dead() == []
    elsewhere.leave()
    assert patient.dead() == [elsewhere.id]


@pytest.mark.slow
@pytest.mark.parametrize("roles", [{}])
def test_work_of_another_host_is_taken_over_when_it_falls_silent_and_not_before(
    drill: Any, kept: Backend, elsewhere: Executor
) -> None:
    id_ = claimed(kept, elsewhere)
    with beating(elsewhere):
        drill.service.start("one", EVERY)
        time.sleep(2 * LEASE)  # several looks for the dead
        assert drill.log.lines() == []
    silent = time.monotonic()
    drill.until_ended()
    assert time.monotonic() - silent > LEASE / 2
    assert drill.verdict(id_)["decision"]["outcome"] == "ACCEPT"
    assert {pid for pid, _ in begun(drill, id_)} == {drill.service.living["one"]}


def pause(kept: Backend, pid: int) -> None:
    """Stop a process at a moment when it holds no lock of the database."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.02)
        if not locked(kept):
            return
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.02)


def locked(kept: Backend) -> bool:
    """Whether another process is in the midst of a change."""
    if kept.engine.dialect.name == "postgresql":
        asked = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid != pg_backend_pid() AND backend_xid IS NOT NULL"
        )
        with reading(kept.engine).connect() as connection:
            return bool(connection.execute(text(asked)).scalar_one())
    with closing(sqlite3.connect(kept.engine.url.database or "", 0.1)) as file:
        try:
            file.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("roles", [ONE])
@pytest.mark.parametrize("stage", ["tune", "report"])
def test_one_that_was_taken_for_dead_and_comes_back_adds_no_second_result(
    drill: Any, kept: Backend, receiver: Any, stage: str
) -> None:
    kept.webhooks(OPEN).add(receiver.url)
    service = drill.service
    id_ = service.submit_rows(rows(f"LINGER IN {stage}"))
    drill.wait(at(drill, id_, stage))
    first = service.living["one"]
    pause(kept, first)
    assert [line.stage for line in drill.log.open(first)] == [stage]
    service.start("two", EVERY)
    drill.until_ended()
    report = kept.holdings(OPEN).report(id_)
    os.kill(first, signal.SIGCONT)
    service.kill("two", again=False)
    after = service.submit_rows(ROWS)  # for the first, which is back
    drill.until_ended()
    assert {pid for pid, _ in begun(drill, after)} == {first}
    assert kept.holdings(OPEN).report(id_) == report
    assert events(kept, id_) == ["accepted", "finished"]
    assert set(drill.told(receiver)) == {id_, after}
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 2


@pytest.mark.slow
@pytest.mark.parametrize("roles", [ONE])
@pytest.mark.parametrize(
    "patched",
    [{"service.jobs.workflow.ATTEMPTS": 2, "service.jobs.maintenance.ATTEMPTS": 2}],
)
def test_what_ends_its_process_again_and_again_fails_as_worker_lost(
    drill: Any, kept: Backend
) -> None:
    service = drill.service
    id_ = service.submit_rows(["FATAL"])

    def ended() -> bool:
        if not os.path.exists(f"/proc/{service.living['one']}"):
            service.kill("one")
        return screening(service, id_)["status"] == "failed"

    drill.wait(ended)
    assert screening(service, id_)["fault"]["code"] == "worker_lost"
    tried = [pid for pid, item in begun(drill, id_) if item == "explicit_harm 1"]
    assert len(set(tried)) == len(tried) == 3  # the first time, and two more
    assert events(kept, id_) == ["accepted", "failed"]
    other = service.submit_rows(ROWS)
    drill.until_ended()
    assert screening(service, other)["outcome"] == "ACCEPT"


@pytest.mark.slow
@pytest.mark.parametrize("roles", [ONE])
@pytest.mark.parametrize("limit", [3.0])
@pytest.mark.parametrize(("stage", "count"), [("explicit_harm", 80), ("tune", 4)])
def test_a_screening_over_its_time_fails_as_timeout_and_its_work_stops(
    drill: Any, kept: Backend, stage: str, count: int
) -> None:
    service = drill.service
    service.ask("GET", "/healthz")  # it is up
    id_ = service.submit_rows(rows(f"LINGER IN {stage}", count))
    drill.wait(lambda: screening(service, id_)["status"] == "failed")
    assert screening(service, id_)["fault"]["code"] == "timeout"
    assert at(drill, id_, stage)()
    assert not at(drill, id_, "report")()
    assert events(kept, id_) == ["accepted", "failed"]
    other = service.submit_rows(ROWS)  # there is room for it at once
    drill.wait(at(drill, other, "tune"), 20)
    ended = {line.item for line in drill.log.lines(id_)}
    drill.until_ended()
    assert {line.item for line in drill.log.lines(id_)} == ended
    assert screening(service, other)["status"] == "finished"


@pytest.mark.parametrize("roles", [ONE])
@pytest.mark.parametrize(("stage", "count"), [("explicit_harm", 40), ("tune", 4)])
def test_a_worker_that_is_told_to_stop_ends_soon_and_another_goes_on_behind_it(
    drill: Any, stage: str, count: int
) -> None:
    service = drill.service
    id_ = service.submit_rows(rows(f"LINGER IN {stage}", count))
    drill.wait(at(drill, id_, stage))
    first = service.living["one"]
    told = time.monotonic()
    os.kill(first, signal.SIGTERM)
    drill.wait(lambda: not os.path.exists(f"/proc/{first}"), 20)
    assert time.monotonic() - told < 8.0
    assert drill.kept.store.open_screenings() == [id_]
    second = service.start("two", EVERY)
    drill.until_ended()
    assert screening(service, id_)["status"] == "finished"
    done = begun(drill, id_)
    assert {pid for pid, item in done if item.startswith(stage)} == {first, second}
    # It was let end what it was at: nothing is done twice.
    assert len({item for _, item in done}) == len(done)


def kept_by_queue(kept: Backend) -> list[dict[str, Any]]:
    """Return every row of the tables of the queue."""
    tables, postgres = MetaData(), kept.engine.dialect.name == "postgresql"
    tables.reflect(kept.engine, schema="dbos" if postgres else None)
    own = {table.name for table in SystemSchema.metadata_obj.tables.values()}
    found: list[dict[str, Any]] = []
    with reading(kept.engine).connect() as connection:
        for table in tables.sorted_tables:
            if table.name in own:
                found += map(dict, connection.execute(select(table)).mappings())
    return found


@pytest.mark.parametrize("roles", [ONE])
@pytest.mark.parametrize("moderation", [True])
def test_the_queue_keeps_json_alone_and_no_word_of_a_row(
    drill: Any, kept: Backend
) -> None:
    id_ = drill.service.submit_rows([MARK, "BAD " + MARK, "ODD " + MARK] * 4)
    linked = drill.service.submit("linked")
    drill.until_ended()
    assert MARK in json.dumps(drill.verdict(id_))
    assert at(drill, id_, "moderate")()
    every = kept_by_queue(kept)
    workflows = {row.get("workflow_uuid") for row in every}
    assert {id_, f"{id_}.trial", f"{linked}.ingest"} <= workflows
    texts = [
        row[name]
        for row in every
        for name in ("inputs", "output", "error", "value", "message")
        if row.get(name) is not None
    ]
    assert f'"{id_}"' in "".join(texts)
    assert "version" in "".join(texts)
    for each in texts:
        json.loads(each)
    said = repr(every)
    assert MARK.split()[0] not in said
    assert "Where is my parcel" not in said
