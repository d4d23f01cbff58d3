import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from service import demo
from service.demo import SHOWS, run_demo
from service.models import Models


class DriftByName:
    """A trial whose drift follows the name of the dataset."""

    def __init__(self, runner: Any, harmful: set[str]) -> None:
        self.runner = runner
        self.harmful = harmful

    def __call__(self, dataset: Any, recipe: Any, **given: Any) -> Any:
        rise = 0.7 if dataset.name in self.harmful else 0.01
        return self.runner.trial(dataset, recipe, rise)


def shown(models: Models, runner: Any, harmful: set[str], folder: Path) -> Any:
    console = Console(file=io.StringIO(), width=80)
    trial = DriftByName(runner, harmful)
    code = run_demo(models, console, reports=folder, runner=trial)
    return code, console.file.getvalue()  # type: ignore[attr-defined]


def test_the_demo_prints_one_table_and_leaves_the_reports(
    models: Models, runner: Any, tmp_path: Path
) -> None:
    harmful = {"explicit_harm.jsonl", "identity_shift.jsonl"}
    code, text = shown(models, runner, harmful, tmp_path / "reports")
    assert code == 0
    for show in SHOWS:
        name = Path(show.file).stem
        line = next(line for line in text.splitlines() if name in line)
        assert line.count(show.expected) == 1
        report = json.loads((tmp_path / f"reports/{name}.report.json").read_text())
        assert report["decision"]["outcome"] == show.expected
    assert "10.0% -> 80.0%" in text
    assert "\u2026" not in text  # nothing is cut at the width of a terminal


def test_the_demo_fails_where_a_decision_is_not_the_expected_one(
    models: Models, runner: Any, tmp_path: Path
) -> None:
    code, text = shown(models, runner, {"explicit_harm.jsonl"}, tmp_path)
    assert code == 1
    assert "identity_shift.jsonl: not the expected decision" in text


def test_a_missing_model_ends_the_demo_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from detectors.errors import ModelError

    def missing() -> Models:
        raise ModelError("the heads are not there")

    monkeypatch.setattr(demo, "load_models", missing)
    assert demo.main() == 1
    assert capsys.readouterr().err == "demo: error: the heads are not there\n"
