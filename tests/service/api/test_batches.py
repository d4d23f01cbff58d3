from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.settings import Settings
from tests.service.api.exchange import left

V1 = "/v1/batches"
Wait = Callable[..., None]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_queued": 5, "batch_max_datasets": 4})


def datasets(row: Any, *said: str) -> list[dict[str, Any]]:
    rows = [[row(text)] + [row(f"Parcel {n}?") for n in range(19)] for text in said]
    return [{"rows": each, "name": text} for each, text in zip(rows, said, strict=True)]


def finish(client: TestClient, wait: Wait, answer: Any) -> Any:
    assert answer.status_code == 202, answer.text
    here = answer.headers["location"]
    wait(lambda: client.get(here).json()["status"] == "finished")
    return client.get(here).json()


def test_a_batch_has_one_status_and_one_summary(
    client: TestClient, row: Any, wait: Wait
) -> None:
    asked = {"datasets": datasets(row, "fine", "DRIFT", "ODD"), "name": "tuesday"}
    answer = client.post(V1, json=asked)
    made = answer.json()
    assert (made["status"], made["outcome"], made["size"]) == ("queued", None, 3)
    assert made["statuses"]["queued"] == 3
    done = finish(client, wait, answer)
    assert (done["name"], done["outcome"]) == ("tuesday", "REJECT")
    assert done["outcomes"] == {"ACCEPT": 1, "REVIEW": 1, "REJECT": 1}
    assert done["statuses"]["finished"] == 3
    names = [client.get(f"/v1/screenings/{each}").json() for each in done["screenings"]]
    assert [each["name"] for each in names] == ["fine", "DRIFT", "ODD"]
    assert [each["outcome"] for each in names] == ["ACCEPT", "REJECT", "REVIEW"]
    listed = client.get(done["links"]["screenings"]).json()["data"]
    assert [each["id"] for each in listed] == done["screenings"][::-1]
    assert client.get("/v1/screenings", params={"batch": "none"}).json()["data"] == []


def test_the_files_of_a_form_are_a_batch(
    client: TestClient, write: Callable[..., Path], wait: Wait, settings: Settings
) -> None:
    paths = [write(name=f"{n}.jsonl") for n in range(3)]
    files = [("file", (path.name, path.read_bytes())) for path in paths]
    form = {"run_trial": "false", "policy": "trial: {required: false}"}
    done = finish(client, wait, client.post(V1, files=files, data=form))
    assert (done["name"], done["outcome"], done["size"]) == ("batch", "ACCEPT", 3)
    screenings = [client.get(f"/v1/screenings/{s}").json() for s in done["screenings"]]
    assert [each["name"] for each in screenings] == [path.name for path in paths]
    # The three have the same bytes, which are kept once.
    assert len([p for p in left(settings) if p.parent.name == "datasets"]) == 1


def test_a_screening_that_fails_makes_no_batch_accepted(
    client: TestClient, row: Any, wait: Wait
) -> None:
    asked = {"datasets": datasets(row, "fine", "CRASH")}
    done = finish(client, wait, client.post(V1, json=asked))
    assert done["statuses"] == {"queued": 0, "running": 0, "finished": 1, "failed": 1}
    assert done["outcome"] == "REVIEW"


def test_a_batch_is_cancelled_as_a_whole(
    client: TestClient, row: Any, wait: Wait
) -> None:
    asked = {"datasets": datasets(row, "fine", "FOREVER", "later")}
    answer = client.post(V1, json=asked)
    first, forever, later = answer.json()["screenings"]
    one = f"/v1/screenings/{first}"
    wait(lambda: client.get(one).json()["status"] == "finished")
    wait(lambda: client.get(f"/v1/screenings/{forever}").json()["status"] == "running")
    here = answer.headers["location"]
    done = client.post(f"{here}/cancel").json()
    assert (done["status"], done["outcome"]) == ("finished", "REVIEW")
    assert done["cancelled_at"] is not None
    assert client.get(one).json()["status"] == "finished"
    for each in (forever, later):
        fault = client.get(f"/v1/screenings/{each}").json()["fault"]
        assert fault["code"] == "cancelled"
    again = client.post(f"{here}/cancel").json()
    assert again == done
    # What was running has stopped, so the next one gets its turn.
    fresh = client.post(V1, json={"datasets": datasets(row, "fresh")})
    assert finish(client, wait, fresh)["outcome"] == "ACCEPT"


def test_a_single_screening_is_cancelled_too(
    client: TestClient, row: Any, wait: Wait
) -> None:
    made = client.post("/v1/screenings", json={"rows": [row("FOREVER")]}).json()
    here = made["links"]["self"]
    wait(lambda: client.get(here).json()["status"] == "running")
    assert client.post(f"{here}/cancel").json()["fault"]["code"] == "cancelled"
    assert client.post(f"{here}/cancel").status_code == 200
    done = client.post("/v1/screenings", json={"rows": [row()] * 20}).json()
    wait(lambda: client.get(done["links"]["self"]).json()["status"] == "finished")
    late = client.post(f"{done['links']['self']}/cancel").json()
    assert (late["status"], late["outcome"]) == ("finished", "ACCEPT")


def test_a_deleted_batch_is_gone_with_its_screenings(
    client: TestClient, row: Any, wait: Wait, settings: Settings
) -> None:
    done = finish(client, wait, client.post(V1, json={"datasets": datasets(row, "a")}))
    here = done["links"]["self"]
    assert client.delete(here).status_code == 204
    for answer in (
        client.get(here),
        client.delete(here),
        client.post(f"{here}/cancel"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "batch_not_found")
    assert client.get("/v1/screenings").json()["data"] == []
    assert left(settings) == []


def test_a_deleted_screening_leaves_no_acceptance(
    client: TestClient, row: Any, wait: Wait
) -> None:
    asked = {"datasets": datasets(row, "a", "b")}
    done = finish(client, wait, client.post(V1, json=asked))
    assert done["outcome"] == "ACCEPT"
    client.delete(f"/v1/screenings/{done['screenings'][0]}")
    after = client.get(done["links"]["self"]).json()
    assert (after["outcome"], after["size"]) == ("REVIEW", 2)
    assert after["screenings"] == done["screenings"][1:]


def test_a_batch_sent_twice_under_one_key_counts_once(
    client: TestClient, row: Any, settings: Settings
) -> None:
    asked = {"datasets": datasets(row, "a", "b")}
    headers = {"Idempotency-Key": "tuesday"}
    said = [client.post(V1, json=asked, headers=headers).json() for _ in range(2)]
    assert said[0]["id"] == said[1]["id"]
    assert len(client.get("/v1/screenings").json()["data"]) == 2
    other = {"datasets": datasets(row, "a", "c")}
    answer = client.post(V1, json=other, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (
        422,
        "idempotency_key_reused",
    )
    assert [path for path in left(settings) if path.parent.name == "incoming"] == []


def test_a_batch_is_taken_whole_or_not_at_all(
    client: TestClient, row: Any, wait: Wait, settings: Settings
) -> None:
    for text in ("FOREVER", "b", "c"):
        client.post("/v1/screenings", json={"rows": [row(text)]})
    kept = {path for path in left(settings) if path.parent.name == "datasets"}
    answer = client.post(V1, json={"datasets": datasets(row, "x", "y", "z", "a")})
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
    assert answer.headers["retry-after"]
    assert len(client.get("/v1/screenings").json()["data"]) == 3
    assert client.get(V1).json()["data"] == []
    assert {p for p in left(settings) if p.parent.name == "datasets"} == kept
    for each in client.get("/v1/screenings").json()["data"]:
        client.delete(each["links"]["self"])


UNFIT: list[tuple[Any, str, str]] = [
    ({}, "invalid_request", "datasets"),
    ({"datasets": []}, "invalid_request", "datasets"),
    ({"datasets": [{}]}, "invalid_request", "datasets.0"),
    ({"datasets": [{"rows": [1]}] * 5}, "invalid_request", "at most 4"),
    (
        {"datasets": [{"rows": [1]}, {"url": "ftp://x/y"}]},
        "invalid_input",
        "datasets.1: url",
    ),
    (
        {"datasets": [{"rows": [1]}, {"sha256": "9f" * 32}]},
        "unknown_dataset",
        "datasets.1: sha256",
    ),
    ({"datasets": [{"rows": [1]}], "policy": "none"}, "unknown_policy", "none"),
]


def test_a_batch_that_is_not_right_is_named(
    client: TestClient, settings: Settings
) -> None:
    for asked, code, said in UNFIT:
        answer = client.post(V1, json=asked)
        assert (answer.status_code, answer.json()["code"]) == (422, code), asked
        assert said in answer.json()["detail"], asked
    assert left(settings) == []


def test_batches_are_listed_newest_first_and_paged(
    client: TestClient, row: Any, wait: Wait
) -> None:
    for name in "abc":
        asked = {"datasets": datasets(row, name), "name": name}
        finish(client, wait, client.post(V1, json=asked))
    first = client.get(V1, params={"limit": 2}).json()
    assert [each["name"] for each in first["data"]] == ["c", "b"]
    query = {"limit": 2, "cursor": first["next_cursor"]}
    last = client.get(V1, params=query).json()
    assert ([s["name"] for s in last["data"]], last["next_cursor"]) == (["a"], None)
    wrong = client.get(V1, params={"cursor": "?"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_cursor")
