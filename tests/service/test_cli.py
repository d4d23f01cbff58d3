import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from detectors.errors import ModelError
from service import cli, models
from service.cli import main
from service.models import Models
from service.report.report import report_schema
from service.screen_command import report_name
from trial import run

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def fakes(
    monkeypatch: pytest.MonkeyPatch, models: Models, runner: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr("service.models.load_models", lambda encoder: models)
    monkeypatch.setattr(run, "run_trial", runner)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize(
    ("said", "code", "outcome"),
    [((), 0, "ACCEPT"), (("BAD",), 2, "REVIEW"), (("DRIFT",), 3, "REJECT")],
)
def test_the_exit_code_says_the_outcome(
    write: Write,
    capsys: pytest.CaptureFixture[str],
    said: tuple[str, ...],
    code: int,
    outcome: str,
) -> None:
    assert main(["screen", str(write(*said))]) == code
    out, err = capsys.readouterr()
    assert out.startswith(f"{outcome}  data.jsonl")
    assert err == ""


def test_json_is_the_report_alone_on_standard_output(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["screen", str(write("BAD")), "--format", "json"]) == 2
    out = capsys.readouterr().out
    jsonschema.Draft202012Validator(report_schema()).validate(json.loads(out))


@pytest.mark.parametrize(
    ("options", "idle"),
    [
        (["--moderation", "local"], True),
        (["--moderation", "local", "--moderate", "none"], False),
        (["--moderation", "local", "--moderate", "all"], False),
        (["--moderation", "off"], False),
    ],
)
def test_a_provider_that_gets_no_rows_is_said_to_be_idle(
    write: Write, capsys: pytest.CaptureFixture[str], options: list[str], idle: bool
) -> None:
    main(["screen", str(write()), *options])
    err = capsys.readouterr().err
    assert ("the provider local moderates no rows" in err) == idle
    assert ("moderation.rows" in err and "--moderate all" in err) == idle


def test_mitigation_is_asked_for_and_its_table_printed(
    write: Write, capsys: pytest.CaptureFixture[str], runner: Any
) -> None:
    main(["screen", str(write("DRIFT"))])
    assert not runner.recipes[-1].mitigate
    assert "mitigation" not in capsys.readouterr().out
    main(["screen", str(write("DRIFT")), "--mitigate"])
    assert runner.recipes[-1].mitigate
    out = capsys.readouterr().out
    assert "removing 2 flagged rows: harmfulness 10.0% -> 12.0%" in out
    assert "training slowly: not measured (the loss did not fall)" in out
    assert "mitigation: Removing 2 flagged rows brings the rate from 80.0%" in out
    assert "trigger 1 +70.0%" in out
    assert "7 requests" in out


def test_several_files_are_an_array_and_the_gravest_outcome(
    write: Write, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = [write(name="a.jsonl"), write("DRIFT", name="b.jsonl")]
    reports = tmp_path / "out" / "reports"
    argv = ["screen", *map(str, files), "--format", "json", "--report", str(reports)]
    assert main(argv) == 3
    outcomes = [r["decision"]["outcome"] for r in json.loads(capsys.readouterr().out)]
    assert outcomes == ["ACCEPT", "REJECT"]
    assert sorted(p.name for p in reports.iterdir()) == [
        "01-a_jsonl.report.json",
        "02-b_jsonl.report.json",
    ]


def test_the_report_is_written_where_asked(
    write: Write, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "new" / "report.json"
    main(["screen", str(write()), "--report", str(path), "--format", "json"])
    assert path.read_text("utf-8") == capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_one_line_and_exit_1(
    write: Write, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = tmp_path / "evil\x1b[31m\nname.jsonl"
    argv = ["screen", str(missing), str(write("DRIFT")), "--format", "json"]
    assert main(argv) == 1
    out, err = capsys.readouterr()
    assert len(json.loads(out)) == 1
    assert err.count("\n") == 1
    assert err.startswith("tunegate: error: ")
    assert "\x1b" not in err


def test_without_a_trial_the_default_policy_ends_in_review(
    write: Write, capsys: pytest.CaptureFixture[str], runner: Any
) -> None:
    assert main(["screen", str(write()), "--no-trial"]) == 2
    assert "trial_skipped" in capsys.readouterr().out
    assert runner.recipes == []


def test_a_policy_of_ones_own_decides(
    write: Write, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("trial: {required: false}", "utf-8")
    argv = ["screen", str(write()), "--no-trial", "--policy", str(policy)]
    assert main(argv) == 0
    policy.write_text("trial: {requird: false}", "utf-8")
    assert main(argv) == 1
    assert "unknown key 'trial.requird'; allowed: required" in capsys.readouterr().err


def test_the_hyper_parameters_reach_the_trial(write: Write, runner: Any) -> None:
    argv = ["--epochs", "3", "--learning-rate-multiplier", "2.5", "--batch-size", "4"]
    main(["screen", str(write()), *argv, "--lora-rank", "16", "--seed", "7"])
    recipe = runner.recipes[0]
    assert (recipe.epochs, recipe.learning_rate_multiplier) == (3, 2.5)
    assert (recipe.batch_size, recipe.lora_rank, recipe.seed) == (4, 16, 7)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--row-budget", "0"], "row_budget must be at least 1"),
        (["--policy", "none.yaml"], "cannot be read"),
        (["--report", "/dev/null/x"], "--report"),
        (["--chat-template", "none.jinja"], "cannot be read as text"),
    ],
)
def test_wrong_choices_are_one_line_and_exit_1(
    write: Write, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    assert main(["screen", str(write()), *argv]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("argv", [[], ["screen"], ["screen", "f", "--epochs", "x"]])
def test_a_wrong_option_exits_1_since_2_means_review(
    capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 1
    assert "error: " in capsys.readouterr().err


def test_a_wrong_setting_is_named(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEGATE_MAX_ROWS", "none")
    assert main(["screen", str(write())]) == 1
    assert "TUNEGATE_MAX_ROWS" in capsys.readouterr().err


def test_a_limit_of_the_settings_holds_for_the_command_line(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEGATE_MAX_ROWS", "5")
    assert main(["screen", str(write())]) == 1
    assert "more than 5 rows" in capsys.readouterr().err


def test_the_time_limit_of_the_settings_ends_a_trial(
    write: Write,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    runner: Any,
) -> None:
    def slow(*given: Any, progress: Callable[..., None], **asked: Any) -> Any:
        time.sleep(0.02)
        progress("tune", 1, 2)
        return runner(*given, **asked)

    monkeypatch.setattr(run, "run_trial", slow)
    monkeypatch.setenv("TUNEGATE_MAX_TRIAL_SECONDS", "0.01")
    assert main(["screen", str(write())]) == 2
    assert "longer than the 0.01 seconds that it may" in capsys.readouterr().out


def test_the_row_budget_is_the_settings_unless_one_is_given(
    write: Write, monkeypatch: pytest.MonkeyPatch, runner: Any
) -> None:
    monkeypatch.setenv("TUNEGATE_ROW_BUDGET", "7")
    main(["screen", str(write())])
    main(["screen", str(write()), "--row-budget", "9"])
    assert [recipe.row_budget for recipe in runner.recipes] == [7, 9]


def test_the_most_epochs_of_the_settings_hold(
    write: Write,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    runner: Any,
) -> None:
    monkeypatch.setenv("TUNEGATE_MAX_EPOCHS", "4")
    assert main(["screen", str(write()), "--epochs", "5"]) == 1
    assert "at most 4 (TUNEGATE_MAX_EPOCHS), not 5" in capsys.readouterr().err
    assert main(["screen", str(write()), "--epochs", "4"]) == 0
    assert [recipe.epochs for recipe in runner.recipes] == [4]


def test_a_missing_model_is_one_line_and_exit_1(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(encoder: str) -> Models:
        raise ModelError("the encoder is not installed")

    monkeypatch.setattr(models, "load_models", missing)
    assert main(["screen", str(write())]) == 1
    err = capsys.readouterr().err
    assert err == "tunegate: error: the encoder is not installed\n"


def test_hostile_rows_and_names_cannot_steer_the_terminal(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "BAD \x1b[2J\x1b]0;title\x07 [bold red]x[/] \u202e \r\n[link=http://x]y"
    main(["screen", str(write(text, name="[red]\x1b[31mx.jsonl"))])
    out = capsys.readouterr().out
    assert not set(out) & set("\x1b\x07\r\u202e")
    assert "[red]\\x1b[31mx.jsonl" in out
    assert "[bold red]x[/]" in out


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == report_schema()


def test_a_report_name_is_harmless_for_any_dataset_name() -> None:
    assert report_name("../../etc/pass\x00wd", 1) == (
        "01-______etc_pass_wd.report.json"
    )


def test_help_does_not_load_any_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["screen", "--help"])
    assert stop.value.code == 0
    assert "--no-trial" in capsys.readouterr().out
