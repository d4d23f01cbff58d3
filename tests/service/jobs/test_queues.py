"""Queues count what waits, and let no tenant have all the workers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS

from service.jobs.backend import Backend, open_backend
from service.settings import Settings
from service.storage.database import reading


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
