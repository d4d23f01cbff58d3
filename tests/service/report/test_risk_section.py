"""The report says how unlike ordinary files a file is, and what to expect of one."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from detectors.reader import read_dataset
from service.models import Models
from service.policy import Policy
from service.report.report import Report
from service.report.summary import print_summary
from service.screening import screen
from trial.recipe import Recipe


@pytest.fixture
def screened(models: Models, runner: Any) -> Callable[[Path], Report]:
    def run(path: Path) -> Report:
        return screen(
            read_dataset(path),
            policy=Policy(),
            recipe=Recipe(),
            detectors=models.detectors,
            encoder=models.encoder,
            runner=runner,
        )

    return run


def words(report: Report) -> str:
    out = io.StringIO()
    print_summary(report, Console(file=out, width=200))
    return " ".join(out.getvalue().split())


def test_a_file_full_of_findings_is_no_ordinary_file(
    screened: Callable[[Path], Report], write: Callable[..., Path]
) -> None:
    report = screened(write(*["BAD"] * 20, *["fine"] * 20))
    assert report.risk is not None
    assert report.risk.p < 0.01
    assert report.risk.value > 0.0
    worst = report.risk.detectors["explicit_harm"]
    assert worst.observed == 20
    assert worst.expected < 1.0
    assert "explicit_harm scores 20 rows" in words(report)


def test_an_ordinary_file_is_told_what_false_alarms_to_expect(
    screened: Callable[[Path], Report], write: Callable[..., Path]
) -> None:
    report = screened(write(*["fine"] * 40))
    assert report.risk is not None
    assert (report.risk.p, report.risk.value) == (1.0, 0.0)
    harm = report.risk.detectors["explicit_harm"]
    # A detector that was never measured is taken to flag 0.5% of ordinary rows.
    assert harm.expected_flagged == pytest.approx(0.005 * 40)
    said = words(report)
    assert "rows would be flagged if the file were ordinary" in said
    assert "it is not" not in said
