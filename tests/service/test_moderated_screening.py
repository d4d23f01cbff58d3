"""Screenings, by command line and HTTP, of which rows go to a provider."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.cli import main
from service.models import Models
from service.report.report import report_schema
from service.settings import Settings
from trial import run

Write = Callable[..., Path]
KEY = "sk-very-secret"
ALL = b"moderation: {rows: all, required: true}\ntrial: {required: false}"


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch,
    models: Models,
    runner: Any,
    provider: Any,
    tmp_path: Path,
) -> Callable[..., tuple[int, Any, str]]:
    """Return a function that screens by the command line with a provider set up."""
    monkeypatch.setattr("service.models.load_models", lambda encoder: models)
    monkeypatch.setattr(run, "run_trial", runner)
    monkeypatch.setenv("TUNEGATE_MODERATION_PROVIDER", "openai")
    monkeypatch.setenv("TUNEGATE_MODERATION_BASE_URL", provider.url)
    monkeypatch.setenv("TUNEGATE_MODERATION_API_KEY", KEY)
    policy = tmp_path / "policy.yaml"
    policy.write_bytes(ALL)

    def screen(path: Path, *argv: str) -> tuple[int, Any, str]:
        report = tmp_path / "report.json"
        options = ["--no-trial", "--policy", str(policy), "--report", str(report)]
        code = main(["screen", str(path), *options, *argv])
        text = report.read_text("utf-8")
        jsonschema.Draft202012Validator(report_schema()).validate(json.loads(text))
        return code, json.loads(text), text

    return screen


def test_rows_are_moderated_and_flagged_ones_are_findings(
    cli: Any, write: Write, provider: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report, text = cli(write("a BAD request"))
    assert code == 2
    said = report["moderation"]
    assert (said["provider"], said["model"]) == ("openai", "omni-moderation-latest")
    assert (said["rows_asked"], said["flagged"], said["not_moderated"]) == (20, 1, 0)
    assert said["requests"] == len(provider.asked)
    assert said["tokens_estimated"] > 0
    sources = {found["detector"]: found for found in report["findings"]}
    assert sources["moderation.openai"]["line"] == 1
    assert "moderation_flagged" in [r["code"] for r in report["decision"]["reasons"]]
    assert report["timings"]["seconds"]["moderation"] > 0
    out, err = capsys.readouterr()
    assert "moderation by openai: 20 rows · 1 flagged · 0 not moderated" in out
    assert KEY not in out + err + text


def test_clean_rows_that_were_all_moderated_are_accepted(
    cli: Any, write: Write
) -> None:
    code, report, _ = cli(write())
    assert (code, report["moderation"]["not_moderated"]) == (0, 0)


@pytest.mark.parametrize(
    "argv", [("--moderate", "none"), ("--moderation", "off"), ()], ids=str
)
def test_nothing_goes_out_unless_provider_and_policy_both_say_so(
    cli: Any,
    write: Write,
    provider: Any,
    tmp_path: Path,
    argv: tuple[str, ...],
) -> None:
    rows = "none" if not argv or argv[0] == "--moderate" else "all"
    (tmp_path / "policy.yaml").write_text(
        f"moderation: {{rows: {rows}}}\ntrial: {{required: false}}", "utf-8"
    )
    code, report, _ = cli(write(), *argv)
    assert provider.asked == []
    assert code == 0
    assert report["moderation"]["requests"] == 0


def test_only_uncertain_rows_go_out_where_the_policy_says_so(
    cli: Any, write: Write, provider: Any
) -> None:
    _, report, _ = cli(write("ODD one", "BAD one"), "--moderate", "uncertain")
    assert report["moderation"]["rows_asked"] == 2
    sent = [text for asked in provider.asked for text in asked["input"]]
    assert sorted(sent) == ["BAD one", "Let me look that up.", "ODD one"]


@pytest.mark.parametrize("kind", ["down", "failing", "babbling", "budget", "no key"])
def test_with_every_provider_down_a_screening_ends_and_does_not_accept(
    cli: Any,
    write: Write,
    provider: Any,
    answers: Any,
    closed_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    # No patience here: how long it waits is tested where it waits.
    monkeypatch.setattr("random.uniform", lambda low, high: 0.0)
    scripts = {
        "failing": lambda n, asked: answers.problem(503),
        "babbling": lambda n, asked: answers.raw(b"<html>maintenance</html>"),
        "no key": lambda n, asked: answers.problem(401, "invalid_api_key"),
    }
    provider.script = scripts.get(kind, provider.script)
    if kind == "down":
        monkeypatch.setenv("TUNEGATE_MODERATION_BASE_URL", closed_url)
    if kind == "budget":
        monkeypatch.setenv("TUNEGATE_MODERATION_MAX_REQUESTS", "0")
    code, report, text = cli(write())
    assert code == 2
    said = report["moderation"]
    assert said["not_moderated"] == said["rows_asked"] == 20
    assert sum(said["reasons"].values()) == 20
    assert [row["line"] for row in said["not_moderated_rows"]] == list(range(1, 21))
    assert [r["code"] for r in report["decision"]["reasons"]] == ["not_moderated"]
    out = capsys.readouterr().out
    assert "20 not moderated" in out
    assert KEY not in out + text
    assert "SECRET" not in out + text


def test_a_setting_that_is_amiss_is_one_line_and_exit_1(
    cli: Any,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TUNEGATE_MODERATION_BASE_URL", f"http://user:{KEY}@host/v1")
    assert main(["screen", str(write())]) == 1
    monkeypatch.setenv("TUNEGATE_MODERATION_BASE_URL", "")
    monkeypatch.setenv("TUNEGATE_MODERATION_API_KEY", "")
    assert main(["screen", str(write())]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "put the key in its own setting" in first
    assert "set TUNEGATE_MODERATION_API_KEY" in second
    assert KEY not in first


def test_a_screening_over_http_is_moderated_too(
    settings: Settings,
    models: Models,
    runner: Any,
    provider: Any,
    answers: Any,
    write: Write,
    wait: Callable[..., None],
) -> None:
    chosen = settings.model_copy(
        update={
            "moderation_provider": "guard",
            "moderation_guard": "qwen3guard",
            "moderation_base_url": provider.url,
            "moderation_model": "Qwen/Qwen3Guard-Gen-0.6B",
        }
    )
    provider.script = lambda n, asked: answers.chat(
        "Safety: Unsafe\nCategories: Violent\nRefusal: No"
        if "VERYBAD" in str(asked["messages"])
        else "Safety: Safe\nCategories: None\nRefusal: No"
    )
    app = create_app(chosen, load=lambda: models, runner=runner)
    with TestClient(app) as client:
        wait(lambda: client.get("/readyz").status_code == 200)
        with write("a VERYBAD row").open("rb") as file:
            answer = client.post(
                "/v1/screenings",
                files={"file": ("data.jsonl", file)},
                data={"policy": ALL.decode()},
            )
        here = answer.headers["location"]
        wait(lambda: client.get(here).json()["status"] in ("finished", "failed"))
        report = client.get(f"{here}/report").json()
        page = client.get(f"{here}/findings?detector=moderation.guard.qwen3guard")
    assert report["moderation"]["provider"] == "guard.qwen3guard"
    assert report["moderation"]["flagged"] == 1
    assert page.json()["data"][0]["category"] == "physical_harm"


def test_a_scan_under_a_policy_that_requires_moderation_says_it_had_none(
    settings: Settings,
    models: Models,
    tmp_path: Path,
    row: Callable[..., Any],
    wait: Callable[..., None],
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(ALL)
    app = create_app(settings.model_copy(update={"policy": path}), load=lambda: models)
    with TestClient(app) as client:
        wait(lambda: client.get("/readyz").status_code == 200)
        said = client.post("/v1/scan", json={"rows": [row()]}).json()
    assert [r["code"] for r in said["decision"]["reasons"]] == ["moderation_missing"]
