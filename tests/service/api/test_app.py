"""A screening over HTTP, from the upload to its report and its end."""

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient

from detectors.errors import ModelError
from service.api.app import create_app
from service.cli import main
from service.models import Models
from service.policy import DetectorLimits
from service.report.report import report_schema
from service.settings import Settings
from tests.service.api.exchange import V1, Row, Write, finish, is_problem, upload
from trial import run


def objects(settings: Settings) -> list[Path]:
    return list((settings.data_dir / "objects").rglob("*"))


def test_an_upload_becomes_a_report(
    client: TestClient, write: Write, wait: Callable[..., None]
) -> None:
    answer = upload(
        client, write("BAD", "DRIFT"), recipe='{"epochs": 3, "batch_size": "auto"}'
    )
    assert answer.json()["status"] == "queued"
    assert answer.json()["links"]["self"] == answer.headers["location"]
    done = finish(client, wait, answer)
    assert (done["status"], done["outcome"]) == ("finished", "REJECT")
    assert done["name"] == "data.jsonl"
    report = client.get(done["links"]["report"]).json()
    jsonschema.Draft202012Validator(report_schema()).validate(report)
    assert report["decision"]["outcome"] == "REJECT"
    assert report["recipe"]["epochs"] == 3


def test_rows_given_as_json_become_a_report(
    client: TestClient, row: Row, wait: Callable[..., None]
) -> None:
    body = {
        "rows": [row(), row("BAD")],
        "name": "mine",
        "run_trial": False,
        "policy": {"trial": {"required": False}, "name": "lax"},
    }
    done = finish(client, wait, client.post(V1, json=body))
    report = client.get(done["links"]["report"]).json()
    assert report["dataset"]["name"] == "mine"
    assert report["policy"]["name"] == "lax"
    assert report["drift"]["measured"] is False
    assert [f["line"] for f in report["findings"]] == [2]


def test_http_and_command_line_give_byte_identical_findings(
    client: TestClient,
    write: Write,
    wait: Callable[..., None],
    models: Models,
    runner: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("service.models.load_models", lambda encoder: models)
    monkeypatch.setattr(run, "run_trial", runner)
    path = write("BAD \u00e9\ud83d\ude00", "PERSONA", "DRIFT")
    main(["screen", str(path), "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    done = finish(client, wait, upload(client, path))
    served = json.loads(client.get(done["links"]["report"]).content)
    for report in (told, served):
        del report["timings"]
    assert json.dumps(told) == json.dumps(served)


def test_findings_are_filtered_and_paged(
    client: TestClient, write: Write, wait: Callable[..., None]
) -> None:
    said = ("BAD 1", "BAD 2", "PERSONA", "BAD 3")
    done = finish(client, wait, upload(client, write(*said)))
    here = done["links"]["findings"]

    def page(**query: object) -> Any:
        return client.get(here, params=query).json()

    assert page()["total"] == 4
    assert [f["line"] for f in page(detector="explicit_harm")["data"]] == [1, 2, 4]
    assert page(detector="explicit_harm", category="fraud_deception")["total"] == 0
    assert page(min_score=0.95)["data"] == []
    first = page(limit=3)
    assert len(first["data"]) == 3
    last = page(limit=3, cursor=first["next_cursor"])
    assert ([f["line"] for f in last["data"]], last["next_cursor"]) == ([4], None)
    assert is_problem(client.get(here, params={"cursor": "x"}), 422, "invalid_cursor")
    assert is_problem(client.get(here, params={"limit": 0}), 422, "invalid_request")


def test_screenings_are_listed_newest_first_and_paged(
    client: TestClient, row: Row, wait: Callable[..., None]
) -> None:
    for name in "abc":
        finish(client, wait, client.post(V1, json={"rows": [row()], "name": name}))
    first = client.get(V1, params={"limit": 2}).json()
    assert [s["name"] for s in first["data"]] == ["c", "b"]
    query = {"limit": 2, "cursor": first["next_cursor"]}
    last = client.get(V1, params=query).json()
    assert ([s["name"] for s in last["data"]], last["next_cursor"]) == (["a"], None)
    assert len(client.get(V1, params={"status": "finished"}).json()["data"]) == 3
    assert client.get(V1, params={"status": "failed"}).json()["data"] == []
    assert is_problem(client.get(V1, params={"cursor": "?"}), 422, "invalid_cursor")


def test_a_deleted_screening_is_gone_with_its_files(
    client: TestClient, write: Write, wait: Callable[..., None], settings: Settings
) -> None:
    done = finish(client, wait, upload(client, write()))
    here = done["links"]["self"]
    assert client.delete(here).status_code == 204
    assert is_problem(client.get(here), 404, "screening_not_found")
    assert is_problem(client.delete(here), 404, "screening_not_found")
    assert [path for path in objects(settings) if path.is_file()] == []


def test_a_running_screening_is_cancelled_when_deleted(
    client: TestClient, write: Write, wait: Callable[..., None]
) -> None:
    here = upload(client, write("FOREVER")).headers["location"]
    wait(lambda: client.get(here).json()["progress"] is not None)
    wait(lambda: client.get(here).json()["progress"]["stage"] == "tune")
    answer = client.get(f"{here}/report")
    assert is_problem(answer, 409, "screening_not_finished")
    assert answer.headers["retry-after"]
    assert client.delete(here).status_code == 204
    assert finish(client, wait, upload(client, write()))["status"] == "finished"


def test_a_full_queue_answers_503_and_when_to_come_back(
    client: TestClient, write: Write, wait: Callable[..., None]
) -> None:
    running = upload(client, write("FOREVER")).headers["location"]
    wait(lambda: client.get(running).json()["status"] == "running")
    assert [upload(client, write()).status_code for _ in range(2)] == [202, 202]
    answer = upload(client, write())
    assert is_problem(answer, 503, "queue_full")
    assert int(answer.headers["retry-after"]) > 0
    listed = client.get(V1).json()["data"]
    assert len(listed) == 3
    assert client.delete(listed[0]["links"]["self"]).status_code == 204
    assert upload(client, write()).status_code == 202
    client.delete(running)


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", "unreadable_dataset", "empty"),
        (b"PK\x03\x04rest", "unreadable_dataset", "ZIP"),
        (b"\x00\x01\x02", "unreadable_dataset", ""),
    ],
)
def test_a_file_that_cannot_be_read_is_a_failed_screening(
    client: TestClient,
    tmp_path: Path,
    wait: Callable[..., None],
    content: bytes,
    code: str,
    said: str,
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    done = finish(client, wait, upload(client, path))
    if done["status"] == "finished":  # read as rows, all of them bad
        assert done["outcome"] == "REVIEW"
        return
    assert (done["fault"]["code"], done["outcome"]) == (code, None)
    assert said in done["fault"]["message"]
    answer = client.get(done["links"]["report"])
    assert is_problem(answer, 409, "screening_failed")


def test_an_unforeseen_failure_is_stored_without_quoting_rows(
    client: TestClient, write: Write, wait: Callable[..., None]
) -> None:
    done = finish(client, wait, upload(client, write("CRASH")))
    assert done["status"] == "failed"
    assert done["fault"]["code"] == "internal_error"
    assert "secret" not in json.dumps(done)
    assert finish(client, wait, upload(client, write()))["outcome"] == "ACCEPT"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\rows.jsonl", "rows.jsonl"),
        ("\x1b[31m<script>.jsonl", "\x1b[31m<script>.jsonl"),
        ("x" * 500, "x" * 199 + "…"),
        ("..", ".."),
    ],
)
def test_a_hostile_file_name_names_the_screening_and_nothing_on_disk(
    client: TestClient,
    write: Write,
    wait: Callable[..., None],
    settings: Settings,
    name: str,
    kept: str,
) -> None:
    done = finish(client, wait, upload(client, write(), name=name))
    assert (done["name"], done["status"]) == (kept, "finished")
    for path in objects(settings):
        inside = path.relative_to(settings.data_dir / "objects").as_posix()
        assert re.fullmatch(r"[a-z]+(/[a-z0-9_-]+(\.json)?)*", inside), inside


def test_readiness_waits_for_the_models(
    settings: Settings, models: Models, wait: Callable[..., None], row: Row
) -> None:
    loaded = threading.Event()

    def load() -> Models:
        loaded.wait(10)
        return models

    with TestClient(create_app(settings, load=load)) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert is_problem(client.get("/readyz"), 503, "models_loading")
        scan = client.post("/v1/scan", json={"rows": [row()]})
        assert is_problem(scan, 503, "models_loading")
        loaded.set()
        wait(lambda: client.get("/readyz").status_code == 200)
        assert client.get("/readyz").json()["models"] == {
            "encoder.fake-encoder": "e" * 64,
            **{f"detector.{name}": "fake-1" for name in DetectorLimits.model_fields},
        }


def test_models_that_cannot_be_loaded_fail_every_screening(
    settings: Settings, wait: Callable[..., None], row: Row
) -> None:
    def load() -> Models:
        raise ModelError("weights differ")

    with TestClient(create_app(settings, load=load)) as client:
        done = finish(client, wait, client.post(V1, json={"rows": [row()]}))
        assert done["status"] == "failed"
        assert done["fault"]["message"] == "weights differ"
        assert is_problem(client.get("/readyz"), 503, "models_unavailable")


def test_a_provider_that_gets_no_rows_is_in_the_log(
    settings: Settings, models: Models, runner: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for provider, said in (("off", False), ("local", True)):
        changed = settings.model_copy(update={"moderation_provider": provider})
        create_app(changed, load=lambda: models, runner=runner)
        assert ("the provider local moderates no rows" in caplog.text) == said
