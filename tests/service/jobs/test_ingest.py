"""A dataset named by its URL is fetched behind the 202, by real processes.

Its server is on a real socket, and does what the path says (`Files`).
"""

import base64
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, select, text

from service.caller import OPEN
from service.jobs.backend import Backend
from service.storage.database import reading

V1 = "/v1/screenings"
SECRET = "signature-4f1c9a7e"


@pytest.fixture
def options(options: dict[str, Any]) -> dict[str, Any]:
    return {
        **options,
        "encryption_keys": base64.b64encode(bytes(range(32))).decode(),
    }


def link(files: Any, path: str) -> str:
    return f"{files.url(path)}?key={SECRET}"


def submit(service: Any, url: str) -> str:
    answer = service.ask("POST", V1, json={"url": url})
    assert answer.status_code == 202, answer.text
    assert SECRET not in answer.text
    return str(answer.json()["id"])


def shown(service: Any, screening: str) -> Any:
    return service.ask("GET", f"{V1}/{screening}").json()


def kept_in_tables(backend: Backend) -> str:
    """Return all that is in all tables, those of the queue too."""
    found: list[str] = []
    for schema in (None, "dbos"):
        if schema and backend.engine.dialect.name == "sqlite":
            continue
        tables = MetaData()
        tables.reflect(backend.engine, schema=schema)
        with reading(backend.engine).connect() as connection:
            for table in tables.sorted_tables:
                rows = connection.execute(select(text("*")).select_from(table)).all()
                found += [repr(tuple(row)) for row in rows]
    return "\n".join(found)


def kept_in_files(folder: Path) -> bytes:
    return b"\n".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())


def assert_unseen(backend: Backend) -> None:
    """The secret is in no table and no file."""
    tables = kept_in_tables(backend)
    assert "scr_" in tables
    assert SECRET not in tables
    assert SECRET.encode() not in kept_in_files(backend.settings.data_dir)


def sources_left(backend: Backend) -> int:
    with reading(backend.engine).connect() as connection:
        asked = "SELECT count(*) FROM screenings WHERE source IS NOT NULL"
        return int(connection.execute(text(asked)).scalar_one())


def test_the_202_does_not_wait_for_the_server_and_the_url_is_sealed(
    service: Any, kept: Backend, files: Any, wait: Callable[..., None]
) -> None:
    service.ask("GET", "/healthz")  # the process is up
    began = time.monotonic()
    screening = submit(service, link(files, "/held/rows.jsonl"))
    assert time.monotonic() - began < 20
    wait(lambda: files.asked)
    assert shown(service, screening)["status"] == "running"
    progress = shown(service, screening)["progress"]
    assert (progress["stage"], progress["done"], progress["total"]) == ("fetch", 0, 1)
    assert sources_left(kept) == 1
    assert_unseen(kept)
    files.go.set()
    wait(lambda: shown(service, screening)["status"] == "finished")
    done = shown(service, screening)
    assert (done["name"], done["outcome"]) == ("rows.jsonl", "REJECT")
    assert sources_left(kept) == 0
    assert_unseen(kept)
    report = service.ask("GET", done["links"]["report"]).text
    events = service.ask("GET", done["links"]["events"]).text
    assert SECRET not in report + events


def test_a_dead_link_fails_with_a_code_and_is_forgotten(
    service: Any, kept: Backend, files: Any, wait: Callable[..., None]
) -> None:
    screening = submit(service, link(files, "/none"))
    wait(lambda: shown(service, screening)["status"] == "failed")
    fault = shown(service, screening)["fault"]
    assert fault["code"] == "source_unavailable"
    assert "404" in fault["message"]
    assert len(files.asked) == 1
    assert sources_left(kept) == 0
    assert_unseen(kept)


def test_a_fetch_that_was_cut_off_is_begun_again(
    service: Any, kept: Backend, files: Any, wait: Callable[..., None]
) -> None:
    screening = submit(service, link(files, "/held"))
    wait(lambda: len(files.asked) == 1)
    service.kill("worker")
    wait(lambda: len(files.asked) == 2)
    service.kill("worker")
    files.go.set()
    wait(lambda: shown(service, screening)["status"] == "finished")
    assert sources_left(kept) == 0
    report = json.loads(kept.holdings(OPEN).report(screening))
    assert report["dataset"]["rows"] == 20


@pytest.mark.parametrize("deleted", [False, True])
def test_a_fetch_of_what_is_cancelled_or_deleted_ends_and_leaves_nothing(
    service: Any,
    kept: Backend,
    files: Any,
    wait: Callable[..., None],
    deleted: bool,
) -> None:
    screening = submit(service, link(files, "/held"))
    wait(lambda: files.asked)
    if deleted:
        assert service.ask("DELETE", f"{V1}/{screening}").status_code == 204
    else:
        said = service.ask("POST", f"{V1}/{screening}/cancel").json()
        assert said["fault"]["code"] == "cancelled"
    assert sources_left(kept) == 0
    wait(lambda: files.gone == 1, 10)  # it is hung up on
    wait(lambda: kept.store.objects.keys("incoming") == [])
    assert kept.store.objects.keys("datasets") == []
    assert_unseen(kept)
    # Its place is free: the next one is fetched and ends.
    files.go.set()
    other = submit(service, link(files, "/rows.jsonl"))
    wait(lambda: shown(service, other)["status"] == "finished")
    assert len(files.asked) == 2


def test_one_that_waits_to_be_fetched_is_never_asked_for_once_cancelled(
    service: Any, kept: Backend, files: Any, wait: Callable[..., None]
) -> None:
    first = [submit(service, link(files, f"/held/{n}")) for n in range(8)]
    wait(lambda: len(files.asked) == 8)  # as many as one process fetches at once
    waiting = submit(service, link(files, "/held/later"))
    service.ask("POST", f"{V1}/{waiting}/cancel")
    assert sources_left(kept) == 8
    files.go.set()
    wait(lambda: all(shown(service, each)["status"] == "finished" for each in first))
    assert not any("later" in each for each in files.asked)


def test_a_worker_that_is_told_to_stop_does_not_wait_for_the_server(
    service: Any, kept: Backend, files: Any, wait: Callable[..., None]
) -> None:
    screening = submit(service, link(files, "/held"))
    wait(lambda: files.asked)
    os.kill(service.living["worker"], signal.SIGTERM)
    wait(lambda: files.gone == 1, 10)
    assert shown(service, screening)["status"] == "running"
    assert sources_left(kept) == 1
    service.kill("worker")
    files.go.set()
    wait(lambda: shown(service, screening)["status"] == "finished")
    assert kept.store.objects.keys("incoming") == []
