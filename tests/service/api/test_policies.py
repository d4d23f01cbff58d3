import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from service.api.context import context_of
from service.jobs import dry_run
from service.storage.datasets import Datasets
from service.storage.policies import P
from service.storage.tables import POLICIES
from service.storage.tables import SCREENINGS as TABLE

V1 = "/v1/policies"
SCREENINGS = "/v1/screenings"
LAX = {"trial": {"required": False}}
Wait = Callable[..., None]


def add(client: TestClient, name: str, policy: dict[str, Any]) -> Any:
    answer = client.post(V1, json={"name": name, "policy": policy})
    assert answer.status_code == 201, answer.text
    return answer.json()


def screened(client: TestClient, wait: Wait, **asked: Any) -> Any:
    here = client.post(SCREENINGS, json=asked).headers["location"]
    wait(lambda: client.get(here).json()["status"] == "finished")
    return client.get(here).json()


def test_each_change_is_a_version_and_none_is_lost(client: TestClient) -> None:
    first, same = add(client, "acme", {}), add(client, "acme", {})
    assert first == same
    second = add(client, "acme", LAX)
    assert [each["reference"] for each in (first, second)] == ["acme@1", "acme@2"]
    assert client.get(f"{V1}/acme").json() == second
    assert client.get(f"{V1}/acme@1").json() == first
    assert first["policy"]["trial"]["required"] is True
    for unknown in ("acme@3", "acme@0", "other", "a b", "acme@x"):
        assert client.get(f"{V1}/{unknown}").json()["code"] == "policy_not_found"


def test_a_policy_is_kept_as_its_json_says_it(client: TestClient) -> None:
    kept = add(client, "acme", {"drift": {"reject_lower": 0.00001}})
    assert kept["policy"]["drift"]["reject_lower"] == 0.00001
    large = client.post(V1, json={"name": "a", "policy": {"x": "x" * 65_536}})
    assert (large.status_code, large.json()["code"]) == (422, "invalid_policy")
    assert large.json()["detail"] == "policy: larger than 65536 bytes"


def test_policies_are_paged_by_name(client: TestClient) -> None:
    for name in ("b", "a", "c", "a"):
        add(client, name, {"drift": {"review_change": 0.1 if name == "b" else 0.2}})
    first = client.get(V1, params={"limit": 2}).json()
    assert [each["name"] for each in first["data"]] == ["a", "b"]
    query = {"limit": 2, "cursor": first["next_cursor"]}
    last = client.get(V1, params=query).json()
    assert [each["name"] for each in last["data"]] == ["c"]
    assert last["next_cursor"] is None


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"name": "A b"}, "invalid_input"),
        ({"name": "a", "policy": {"x": 1}}, "invalid_policy"),
        ({"name": "a", "policy": {"trial": {"required": 3}}}, "invalid_policy"),
        ({"policy": {}}, "invalid_request"),
    ],
)
def test_a_policy_that_is_wrong_is_not_kept(
    client: TestClient, asked: dict[str, Any], code: str
) -> None:
    answer = client.post(V1, json=asked)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert client.get(V1).json()["data"] == []


def test_a_policy_has_no_other_name_inside(client: TestClient) -> None:
    inside = {"name": "b", "policy": {**LAX, "name": "a"}}
    answer = client.post(V1, json=inside)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "leave that one out" in answer.text
    assert client.get(V1).json()["data"] == []
    assert add(client, "a", {**LAX, "name": "a"})["policy"]["name"] == "a"


def test_a_policy_of_another_version_is_listed_as_unreadable_beside_the_others(
    client: TestClient, row: Any
) -> None:
    kept = {name: add(client, name, LAX) for name in "abc"}
    old = {"name": "b", "a_limit_that_is_gone": 1}
    with context_of(client.app).backend.engine.begin() as connection:
        connection.execute(update(POLICIES).where(P.name == "b").values(content=old))
    unread = {**kept["b"], "policy": old, "readable": False}
    listed = client.get(V1)
    assert listed.status_code == 200, listed.text
    assert listed.json()["data"] == [kept["a"], unread, kept["c"]]
    assert client.get(f"{V1}/b").json() == unread
    answer = client.post(SCREENINGS, json={"rows": [row()], "policy": "b"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_policy")
    assert "submit it again" in answer.json()["detail"]
    again = add(client, "b", {"trial": {"required": True}})
    assert (again["reference"], again["readable"]) == ("b@2", True)


def test_a_screening_can_name_a_policy(
    client: TestClient, row: Any, wait: Wait
) -> None:
    add(client, "lax", LAX)
    asked = {"rows": [row()], "run_trial": False}
    assert screened(client, wait, **asked)["outcome"] == "REVIEW"
    for name in ("lax", "lax@1"):
        assert screened(client, wait, **asked, policy=name)["outcome"] == "ACCEPT"
    answer = client.post(SCREENINGS, json={**asked, "policy": "lax@2"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_policy")
    form = {"policy": "lax", "run_trial": "false"}
    file = {"file": ("f.jsonl", b'{"prompt": "a", "completion": "b"}\n')}
    assert client.post(SCREENINGS, files=file, data=form).status_code == 202


def test_a_dry_run_says_what_a_policy_would_have_said(
    client: TestClient, row: Any, wait: Wait
) -> None:
    rows = [row("BAD"), *(row(f"parcel {n}?") for n in range(400))]
    done = screened(client, wait, rows=rows)
    before = client.get(done["links"]["report"]).json()

    def ask(policy: Any) -> Any:
        asked = {"screening": done["id"], "policy": policy}
        answer = client.post(f"{V1}/dry-run", json=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    same = ask(before["policy"]["content"])
    assert same == {**before["decision"], "policy": before["policy"]["digest"]}
    strict = {"review_rows": 1, "review_share": 0.0, "reject_rows": 1}
    shares = {"reject_share": 0.0, "agree_rows": 1, "agree_share": 0.0}
    tried = ask({"detectors": {"explicit_harm": {**strict, **shares}}})
    assert tried["outcome"] == "REJECT"
    everywhere = ask({"trial": {"all_contexts": True}})
    assert "trial_not_measured" in [each["code"] for each in everywhere["reasons"]]
    moderated = ask({"moderation": {"rows": "all", "required": True}})
    assert moderated["outcome"] == "REVIEW"
    assert client.get(done["links"]["report"]).json() == before


def test_a_dry_run_reads_no_dataset_but_of_a_screening_that_kept_no_facts(
    client: TestClient, row: Any, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = screened(client, wait, rows=[row("BAD"), 7, row()])
    asked = {"screening": done["id"], "policy": LAX}
    read: list[str] = []
    real = Datasets.read

    def reading(self: Datasets, digest: str, **how: Any) -> Any:
        read.append(digest)
        return real(self, digest, **how)

    monkeypatch.setattr(Datasets, "read", reading)
    first = client.post(f"{V1}/dry-run", json=asked)
    assert first.status_code == 200, first.text
    assert "bad_lines" in [each["code"] for each in first.json()["reasons"]]
    assert read == []
    objects = context_of(client.app).backend.store.objects
    objects.delete(f"screenings/{done['id']}/facts.json")
    assert client.post(f"{V1}/dry-run", json=asked).json() == first.json()
    assert len(read) == 1


def test_a_dry_run_of_what_another_version_left_is_refused(
    client: TestClient, row: Any, wait: Wait
) -> None:
    done = screened(client, wait, rows=[row()])
    asked = {"screening": done["id"], "policy": LAX}
    backend = context_of(client.app).backend
    key = f"screenings/{done['id']}/plan.json"
    plan = backend.store.objects.get(key)

    def refused() -> None:
        answer = client.post(f"{V1}/dry-run", json=asked)
        assert (answer.status_code, answer.json()["code"]) == (409, "other_version")
        assert "screen its dataset again" in answer.json()["detail"]

    backend.store.objects.put(key, b'{"steps": []}')
    refused()
    backend.store.objects.put(key, plan)
    assert client.post(f"{V1}/dry-run", json=asked).status_code == 200
    for column in (TABLE.c.policy, TABLE.c.recipe):
        mine = TABLE.c.id == done["id"]
        with backend.engine.begin() as connection:
            before = connection.execute(select(column).where(mine)).scalar_one()
            broken = {column.name: {"a_key_that_is_gone": 1}}
            connection.execute(update(TABLE).where(mine).values(broken))
        refused()
        with backend.engine.begin() as connection:
            whole = {column.name: before}
            connection.execute(update(TABLE).where(mine).values(whole))
    assert client.post(f"{V1}/dry-run", json=asked).status_code == 200


def test_dry_runs_are_done_one_at_a_time(
    client: TestClient, row: Any, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = screened(client, wait, rows=[row()])
    asked = {"screening": done["id"], "policy": LAX}
    inside: list[int] = []
    most: list[int] = []
    real = dry_run.decide_again

    def slow(*given: Any) -> Any:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.1)
        inside.pop()
        return real(*given)

    monkeypatch.setattr(dry_run, "decide_again", slow)
    with ThreadPoolExecutor(4) as callers:
        ask = partial(client.post, f"{V1}/dry-run", json=asked)
        answers = [each.result() for each in [callers.submit(ask) for _ in range(4)]]
    assert [each.status_code for each in answers] == [200] * 4
    assert most == [1] * 4


def test_a_dry_run_needs_a_screening_that_is_finished(
    client: TestClient, row: Any, wait: Wait
) -> None:
    gone = {"screening": f"scr_{'0' * 24}", "policy": {}}
    assert client.post(f"{V1}/dry-run", json=gone).status_code == 404
    made = client.post(SCREENINGS, json={"rows": [row("FOREVER")]}).json()
    answer = client.post(f"{V1}/dry-run", json={**gone, "screening": made["id"]})
    assert (answer.status_code, answer.json()["code"]) == (
        409,
        "screening_not_finished",
    )
    client.delete(made["links"]["self"])


def test_the_schemas_fit_what_is_answered(
    client: TestClient, row: Any, wait: Wait
) -> None:
    done = screened(client, wait, rows=[row("BAD")])
    batch = {"datasets": [{"rows": [row()]}, {"sha256": "9f" * 32}]}
    made = client.post("/v1/batches", json={"datasets": batch["datasets"][:1]})
    seen = {
        "batch": made.json(),
        "batch-request": batch,
        "report": client.get(done["links"]["report"]).json(),
        "findings": client.get(done["links"]["findings"]).json(),
        "screening": done,
        "kept-policy": add(client, "acme", LAX),
        "policy": add(client, "acme", LAX)["policy"],
        "problem": client.get("/nowhere").json(),
        "screening-request": {"rows": [row()], "policy": "acme"},
    }
    listed = client.get("/v1/schemas").json()["schemas"]
    assert {f"/v1/schemas/{name}" for name in seen} == set(listed)
    for name, content in seen.items():
        schema = client.get(f"/v1/schemas/{name}").json()
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema).validate(content)
    assert client.get("/v1/schemas/none").json()["code"] == "schema_not_found"
