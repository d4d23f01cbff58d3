import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from service.api.app import create_app
from service.models import Models
from service.settings import Settings

Row = Callable[..., dict[str, Any]]
JSON = {"content-type": "application/json"}


def test_a_scan_scores_rows_at_once_and_never_accepts_unmeasured(
    client: TestClient, row: Row
) -> None:
    said = client.post("/v1/scan", json={"rows": [row(), row("BAD"), row("ODD"), 3]})
    assert said.status_code == 200
    body = said.json()
    assert body["decision"]["outcome"] == "REVIEW"
    assert body["dataset"]["bad_lines"][0]["line"] == 4
    assert [r["scores"]["explicit_harm"] for r in body["rows"]] == [0.02, 0.9, None]
    assert [f["line"] for f in body["findings"]] == [2]
    clean = client.post("/v1/scan", json={"rows": [row()]}).json()
    assert clean["decision"]["outcome"] == "REVIEW"
    assert clean["decision"]["reasons"][0]["code"] == "trial_skipped"


def test_a_scan_accepts_where_the_policy_does_without_a_trial(
    settings: Settings, models: Models, row: Row, wait: Any, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("trial: {required: false}", "utf-8")
    lax = settings.model_copy(update={"policy": policy})
    with TestClient(create_app(lax, load=lambda: models)) as client:
        wait(lambda: client.get("/readyz").status_code == 200)
        said = client.post("/v1/scan", json={"rows": [row()]}).json()
    assert said["decision"]["outcome"] == "ACCEPT"


def test_a_scan_of_too_many_rows_says_where_to_go(client: TestClient, row: Row) -> None:
    answer = client.post("/v1/scan", json={"rows": [row()] * 101})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_rows")
    assert "POST /v1/screenings" in answer.json()["detail"]


def test_lone_surrogates_in_rows_do_not_break_an_answer(
    client: TestClient, row: Row
) -> None:
    body = json.dumps({"rows": [row("BAD \ud800")]})
    answer = client.post("/v1/scan", content=body, headers=JSON)
    assert answer.status_code == 200
    assert answer.json()["decision"]["outcome"] == "REVIEW"
    named = json.dumps({"rows": [row()], "name": "\udfff"})
    answer = client.post("/v1/scan", content=named, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
