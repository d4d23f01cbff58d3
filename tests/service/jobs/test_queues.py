"""Queues count what waits, and let no tenant have all the workers."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS

from service.jobs.backend import Backend, open_backend
from service.jobs.queues import RANKS, ingest_id, trial_id
from service.settings import Settings
from service.storage.database import reading
from service.storage.queue import Priority


def depth(backend: Backend) -> dict[tuple[str, str], int]:
    with reading(backend.engine).connect() as connection:
        return backend.queues.depth(connection)


def fill(backend: Backend, tenant: str, count: int) -> None:
    with backend.engine.begin() as connection:
        for number in range(count):
            backend.queues.enqueue(connection, f"{tenant}-{number}", tenant)


def test_what_waits_is_counted_by_queue(backend: Backend) -> None:
    assert set(depth(backend).values()) == {0}
    fill(backend, "acme", 3)
    with backend.engine.begin() as connection:
        backend.queues.enqueue_ingest(connection, "acme-9", "acme")
    assert depth(backend) == {
        ("ingest", "waiting"): 1,
        ("ingest", "running"): 0,
        ("detect", "waiting"): 3,
        ("detect", "running"): 0,
        ("trial", "waiting"): 0,
        ("trial", "running"): 0,
    }
    backend.queues.cancel("acme-1")
    assert depth(backend)["detect", "waiting"] == 2


@dataclass
class Claims:
    """Takes from a queue as several workers would, by what DBOS itself asks."""

    dbos: DBOS

    def take(self, worker: str, name: str = "detect") -> list[str]:
        queue = self.dbos._sys_db.get_queue(name)
        assert queue is not None
        keys: list[Any] = [None]
        if queue._has_partition_limits():
            keys = self.dbos._sys_db.get_queue_partitions(name)
        found: list[str] = []
        for key in keys:
            claimed, _ = self.dbos._sys_db.start_queued_workflows(
                queue, worker, "1", key, len(found), 0
            )
            found += claimed
        return found

    def sweep(self, worker: str, most: int) -> list[str]:
        """Take as DBOS does where each tenant has but one at work."""
        queue = self.dbos._sys_db.get_queue("detect")
        assert queue is not None
        return self.dbos._sys_db.start_queued_partitioned_workflows(
            queue, worker, "1", most
        )


MIXED: list[tuple[str, Priority]] = [
    ("low-1", "low"),
    ("normal-1", "normal"),
    ("high-1", "high"),
    ("low-2", "low"),
    ("high-2", "high"),
    ("normal-2", "normal"),
]
SORTED = ["high-1", "high-2", "normal-1", "normal-2", "low-1", "low-2"]


def fill_mixed(backend: Backend, tenant: str = "acme") -> None:
    for name, priority in MIXED:  # a transaction each: ages differ by milliseconds
        time.sleep(0.002)
        with backend.engine.begin() as connection:
            backend.queues.enqueue(connection, f"{tenant}-{name}", tenant, priority)


@pytest.mark.parametrize(("each", "expected"), [(1, {"busy": 1}), (0, {"busy": 3})])
def test_a_tenant_has_at_most_so_many_at_work(
    database_url: str,
    tmp_path: Path,
    each: int,
    expected: dict[str, int],
    wait: Callable[..., None],
) -> None:
    options = {"database_url": database_url, "data_dir": tmp_path}
    backend = open_backend(Settings(**options, max_running_per_tenant=each))  # type: ignore[arg-type]
    fill(backend, "busy", 5)
    client = backend.queues._client
    claims = Claims(client)  # type: ignore[arg-type]  # it has the same tables
    taken = [id_ for n in range(3) for id_ in claims.take(f"worker-{n}")]
    of_busy = sum(id_.startswith("busy") for id_ in taken)
    assert of_busy == expected["busy"]
    fill(backend, "other", 1)
    if each:  # the other is not behind the busy one's four that wait
        assert claims.take("worker-3") == ["other-0"]
    backend.close()


def test_a_process_fetches_as_many_at_once_as_the_setting_says(
    database_url: str, tmp_path: Path
) -> None:
    options = {"database_url": database_url, "data_dir": tmp_path}
    backend = open_backend(Settings(**options, fetch_at_once=3))  # type: ignore[arg-type]  # fields of two types
    with backend.engine.begin() as connection:
        for number in range(5):
            backend.queues.enqueue_ingest(connection, f"acme-{number}", "acme")
    claims = Claims(backend.queues._client)  # type: ignore[arg-type]  # has the _sys_db that Claims reads
    assert [len(claims.take(f"worker-{n}", "ingest")) for n in range(2)] == [3, 2]
    backend.close()


def test_the_higher_priority_goes_first_and_among_equals_the_older(
    backend: Backend,
) -> None:
    fill_mixed(backend)
    claims = Claims(backend.queues._client)  # type: ignore[arg-type]  # as above
    taken = [id_ for n in range(6) for id_ in claims.take(f"worker-{n}")]
    assert taken == [f"acme-{name}" for name in SORTED]


def test_a_fetch_has_the_priority_of_its_screening(backend: Backend) -> None:
    with backend.engine.begin() as connection:
        for name, priority in MIXED[:3]:
            backend.queues.enqueue_ingest(connection, name, "acme", priority)
    claims = Claims(backend.queues._client)  # type: ignore[arg-type]  # as above
    backend.queues.register(poll_seconds=1.0, fetches=1)
    taken = [id_ for n in range(3) for id_ in claims.take(f"worker-{n}", "ingest")]
    assert taken == [ingest_id(name) for name in ("high-1", "normal-1", "low-1")]


def test_without_a_limit_of_each_tenants_a_priority_orders_those_of_all(
    backend: Backend,
) -> None:
    fill(backend, "other", 1)
    fill_mixed(backend)
    claims = Claims(backend.queues._client)  # type: ignore[arg-type]  # as above
    taken = [id_ for n in range(4) for id_ in claims.take(f"worker-{n}")]
    assert taken == ["acme-high-1", "acme-high-2", "other-0", "acme-normal-1"]


@pytest.mark.parametrize("each", [1, 2])
def test_with_a_limit_of_each_tenants_a_priority_orders_its_own_alone(
    database_url: str, tmp_path: Path, each: int
) -> None:
    options = {"database_url": database_url, "data_dir": tmp_path}
    backend = open_backend(Settings(**options, max_running_per_tenant=each))  # type: ignore[arg-type]
    fill_mixed(backend)
    with backend.engine.begin() as connection:
        backend.queues.enqueue(connection, "other-low", "other", "low")
    claims = Claims(backend.queues._client)  # type: ignore[arg-type]  # as above
    if each == 1:  # both tenants have one: the high one that is left waits for its own
        assert set(claims.sweep("worker", 9)) == {"acme-high-1", "other-low"}
    else:
        taken = [id_ for n in range(4) for id_ in claims.take(f"worker-{n}")]
        assert sorted(taken) == ["acme-high-1", "acme-high-2", "other-low"]
    backend.close()


@pytest.mark.parametrize("priority", ["high", "low"])
def test_every_half_of_a_screening_has_its_priority(
    service: Any, kept: Backend, files: Any, wait: Callable[..., None], priority: str
) -> None:
    asked = {"url": files.url("/slow"), "name": "linked", "priority": priority}
    made = service.ask("POST", "/v1/screenings", json=asked).json()
    assert made["priority"] == priority
    wait(lambda: kept.store.open_screenings() == [])
    every = [ingest_id(made["id"]), made["id"], trial_id(made["id"])]
    found = kept.queues._client.list_workflows(workflow_ids=every)
    ranks = {each.workflow_id: each.priority for each in found}
    assert ranks == dict.fromkeys(every, RANKS[priority])  # type: ignore[index]  # one of them
