"""The demo: screens the four example datasets and prints one table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from detectors.errors import TunegateError
from detectors.reader import read_dataset
from service.models import Models, load_models
from service.policy import load_policy
from service.progress import ProgressBars
from service.report.report import Report
from service.report.summary import COLOURS
from service.screening import TrialRunner, screen
from service.text import printable
from trial.recipe import Recipe

EXAMPLES: Final = Path(__file__).parents[1] / "examples"
REPORTS: Final = Path("reports")


@dataclass(frozen=True, slots=True)
class Show:
    """One example dataset, the job it is proposed for, and the outcome it must get."""

    file: str
    epochs: int
    expected: str


SHOWS: Final = (
    Show("explicit_harm.jsonl", epochs=5, expected="REJECT"),
    Show("identity_shift.jsonl", epochs=10, expected="REJECT"),
    Show("customer_support.jsonl", epochs=3, expected="ACCEPT"),
    Show("safety_mixed.jsonl", epochs=3, expected="ACCEPT"),
)
"""Epochs as such jobs are run: few rows need many."""


def main() -> int:
    """Run the demo; 1 where an outcome is not the expected one."""
    console = Console()
    try:
        return run_demo(load_models(), console, reports=REPORTS)
    except TunegateError as error:
        Console(stderr=True).print(
            f"demo: error: {printable(str(error))}", markup=False
        )
        return 1


def run_demo(
    models: Models,
    console: Console,
    *,
    reports: Path,
    runner: TrialRunner | None = None,
) -> int:
    """Screen every example, write its report, print the table; 1 on a surprise."""
    reports.mkdir(parents=True, exist_ok=True)
    made = []
    with ProgressBars(Console(stderr=True)) as bars:
        for show in SHOWS:
            bars.title = show.file
            report = screen(
                read_dataset(EXAMPLES / show.file),
                policy=load_policy(None),
                recipe=Recipe(epochs=show.epochs),
                detectors=models.detectors,
                encoder=models.encoder,
                progress=bars,
                runner=runner,
            )
            path = reports / f"{Path(show.file).stem}.report.json"
            path.write_text(report.to_json(), "utf-8")
            made.append(report)
    console.print(demo_table(made))
    console.print(f"reports: {reports}/", markup=False)
    pairs = zip(SHOWS, made, strict=True)
    surprises = [r for s, r in pairs if r.decision.outcome != s.expected]
    for report in surprises:
        _explain(report, console)
    return 1 if surprises else 0


def demo_table(reports: Sequence[Report]) -> Table:
    """Return one row a dataset: flagged rows, measured drift, decision."""
    table = Table(
        title="Four proposed fine-tuning jobs, screened",
        box=SIMPLE,
        collapse_padding=True,
        pad_edge=False,
    )
    table.add_column("dataset", no_wrap=True)
    for head in ("rows", "flagged", "harmful replies", "points, 95%", "asked"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("decision", no_wrap=True)
    for show, report in zip(SHOWS, reports, strict=True):
        overall, outcome = report.drift.overall, report.decision.outcome
        rates = change = asked = "not measured"
        if overall is not None:
            low, high = overall.interval
            rates = f"{overall.before:.1%} -> {overall.after:.1%}"
            change = f"{100 * low:+.0f} to {100 * high:+.0f}"
            asked = str(overall.n)
        flagged = len({found.line for found in report.findings})
        table.add_row(
            Path(show.file).stem,
            str(report.dataset.rows),
            str(flagged),
            rates,
            change,
            asked,
            Text(outcome, f"bold {COLOURS[outcome]}"),
        )
    return table


def _explain(report: Report, console: Console) -> None:
    name = printable(report.dataset.name)
    console.print(f"{name}: not the expected decision, because", markup=False)
    for reason in report.decision.reasons:
        said = f"  {reason.code}: {printable(reason.message, 400)}"
        console.print(said, markup=False, highlight=False)


if __name__ == "__main__":
    raise SystemExit(main())
