import json
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

V1 = "/v1/screenings"
Wait = Callable[..., None]


def parse(text: str) -> list[dict[str, Any]]:
    """Read server-sent events: their fields, `data` from its JSON."""
    found = []
    for block in text.strip().split("\n\n"):
        lines = [line.split(": ", 1) for line in block.split("\n")]
        fields: dict[str, Any] = {line[0]: line[-1] for line in lines if line[0]}
        if "data" in fields:
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


def test_events_tell_a_screening_to_its_end(client: TestClient, row: Any) -> None:
    made = client.post(V1, json={"rows": [row("BAD")]}).json()
    answer = client.get(made["links"]["events"])
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = parse(answer.text)
    assert {each["event"] for each in events[:-1]} <= {"progress"}
    assert events[-1]["event"] == "finished"
    assert events[-1]["data"] == client.get(made["links"]["self"]).json()
    ids = [each["id"] for each in events]
    assert all(a != b for a, b in pairwise(ids))


def test_one_who_comes_back_gets_only_what_is_new(client: TestClient, row: Any) -> None:
    made = client.post(V1, json={"rows": [row()]}).json()
    path = made["links"]["events"]
    last = parse(client.get(path).text)[-1]
    again = client.get(path, headers={"Last-Event-ID": last["id"]})
    assert parse(again.text) == []
    other = client.get(path, headers={"Last-Event-ID": "unknown"})
    assert [each["id"] for each in parse(other.text)] == [last["id"]]


def test_a_deletion_ends_the_events(
    client: TestClient, write: Callable[..., Path], wait: Wait
) -> None:
    with write("FOREVER").open("rb") as file:
        made = client.post(V1, files={"file": ("f.jsonl", file)}).json()
    here = made["links"]["self"]
    wait(lambda: client.get(here).json()["status"] == "running")

    said: list[str] = []
    listener = threading.Thread(
        target=lambda: said.append(client.get(made["links"]["events"]).text)
    )
    listener.start()
    client.delete(here)
    listener.join(30)
    events = parse(said[0])
    assert not events or events[-1]["event"] == "deleted"


def test_the_time_left_is_told_and_is_no_event_of_its_own(
    client: TestClient, write: Callable[..., Path], wait: Wait
) -> None:
    first = client.post(V1, files={"file": ("a.jsonl", write().read_bytes())}).json()
    wait(lambda: client.get(first["links"]["self"]).json()["status"] == "finished")
    file = ("f.jsonl", write("FOREVER").read_bytes())
    made = client.post(V1, files={"file": file}).json()
    here = made["links"]["self"]

    def progress() -> dict[str, Any]:
        return client.get(here).json()["progress"] or {"stage": ""}

    wait(lambda: progress()["stage"] == "tune")
    assert progress()["seconds_left"] >= 0
    assert client.get(first["links"]["self"]).json()["progress"] is None
    said: list[str] = []
    listener = threading.Thread(
        target=lambda: said.append(client.get(made["links"]["events"]).text)
    )
    listener.start()
    time.sleep(0.3)  # the estimate changes meanwhile, and nothing else
    client.delete(here)
    listener.join(30)
    *before, last = parse(said[0])
    assert last["event"] == "deleted"
    assert len(before) <= 2
    assert all(each["data"]["progress"]["seconds_left"] >= 0 for each in before)


@pytest.mark.parametrize("screening", ["none", f"scr_{'0' * 24}"])
def test_there_are_no_events_of_what_is_not_there(
    client: TestClient, screening: str
) -> None:
    answer = client.get(f"{V1}/{screening}/events")
    assert answer.status_code == 404
    assert answer.json()["code"] == "screening_not_found"
