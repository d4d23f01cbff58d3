"""Many clients at once: every screening that was accepted ends, and ends once."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from service.jobs.backend import Backend
from service.storage.database import reading
from service.storage.tables import AUDIT_EVENTS

V1 = "/v1/screenings"
CLIENTS = 20
SCREENINGS = 200
ROWS = 1_000


@pytest.fixture(scope="module", autouse=True)
def fast() -> Iterator[None]:
    """Have detectors that take no time, in the processes that are forked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_STEP_SECONDS", "0")
        yield


def dataset(number: int) -> bytes:
    rows = (
        {"prompt": f"Where is parcel {number}-{row}?", "completion": "On its way."}
        for row in range(ROWS)
    )
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def submit(url: str) -> list[str]:
    """Post all datasets, by all clients at once; return the ids."""
    begin = Barrier(CLIENTS)

    def client(place: int) -> list[str]:
        made = []
        with httpx.Client(base_url=url, timeout=120) as http:
            begin.wait()
            for number in range(place, SCREENINGS, CLIENTS):
                file = {"file": (f"{number}.jsonl", dataset(number))}
                answer = http.post(V1, files=file, data={"run_trial": "false"})
                assert answer.status_code == 202, answer.text
                made.append(str(answer.json()["id"]))
        return made

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [each for part in pool.map(client, range(CLIENTS)) for each in part]


def events(kept: Backend) -> dict[str, list[str]]:
    """Return what the record says of each screening."""
    found: dict[str, list[str]] = {}
    asked = select(AUDIT_EVENTS.c.subject, AUDIT_EVENTS.c.action)
    with reading(kept.engine).connect() as connection:
        for subject, action in connection.execute(
            asked.order_by(AUDIT_EVENTS.c.number)
        ):
            found.setdefault(subject, []).append(action)
    return found


@pytest.mark.slow
def test_200_screenings_of_20_clients_at_once_all_end_as_finished_once(
    drill: Any, kept: Backend
) -> None:
    drill.service.ask("GET", "/healthz")  # the process is up
    ids = submit(str(drill.service.http.base_url))
    assert len(set(ids)) == SCREENINGS
    drill.until_ended()
    assert events(kept) == {each: ["accepted", "finished"] for each in ids}
    shown = [drill.service.ask("GET", f"{V1}/{each}").json() for each in ids]
    assert Counter(each["status"] for each in shown) == {"finished": SCREENINGS}
    reports = [drill.verdict(each) for each in ids]
    assert {each["dataset"]["rows"] for each in reports} == {ROWS}
    assert len({each["dataset"]["sha256"] for each in reports}) == SCREENINGS
