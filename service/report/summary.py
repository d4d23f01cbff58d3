"""Summary: a report as a few readable lines; hostile text cannot steer the terminal."""

from collections.abc import Iterator
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from service.report.drift_summary import drift_parts
from service.report.report import FindingSection, ModerationSection, Report, RiskSection
from service.text import printable

COLOURS: Final = {"ACCEPT": "green", "REVIEW": "yellow", "REJECT": "red"}
FINDINGS_SHOWN: Final = 10
BAD_LINES_SHOWN: Final = 5
EXPECTED_CHARS: Final = 400
"""Room for the list of all row shapes."""
UNUSUAL: Final = 0.01


def print_summary(report: Report, console: Console) -> None:
    """Print decision, reasons, counts, findings and drift of one report."""
    console.print(summarise(report), markup=False, highlight=False)


def summarise(report: Report) -> RenderableType:
    """Return the summary as something rich can draw."""
    return Group(*_parts(report))


def _parts(report: Report) -> Iterator[RenderableType]:
    outcome = report.decision.outcome
    yield Text.assemble(
        (outcome, f"bold {COLOURS[outcome]}"), f"  {printable(report.dataset.name)}"
    )
    for reason in report.decision.reasons:
        line = Text.assemble("  ", (reason.outcome, COLOURS[reason.outcome]))
        line.append(f" {reason.code}: {printable(reason.message, 600)}")
        yield line
    yield _counts(report)
    if report.risk is not None and report.dataset.rows:
        yield _risk(report.risk)
    if report.moderation is not None and report.moderation.rows_asked:
        yield _moderation(report.moderation)
    yield from _bad_lines(report)
    if report.findings:
        yield _findings(report)
    yield from drift_parts(report)


def _bad_lines(report: Report) -> Iterator[Text]:
    for bad in report.dataset.bad_lines[:BAD_LINES_SHOWN]:
        place = f", {printable(bad.field, 80)}" if bad.field else ""
        found = f" (found {printable(bad.found, 80)})" if bad.found else ""
        wanted = printable(bad.expected, EXPECTED_CHARS)
        yield Text(f"  line {bad.line}{place}: expected {wanted}{found}")
    more = report.dataset.bad_line_count - BAD_LINES_SHOWN
    if more > 0:
        yield Text(f"  and {more} more unreadable, in the report")


def _counts(report: Report) -> Text:
    data = report.dataset
    rows = "1 row" if data.rows == 1 else f"{data.rows} rows"
    said = [f"{rows}, sha256 {data.sha256[:12] or '-'}"]
    if data.bad_line_count:
        said.append(f"{data.bad_line_count} unreadable")
    for name, scores in report.scores.items():
        unscored = f", {scores.unscored} unscored" if scores.unscored else ""
        said.append(f"{name}: {scores.flagged} flagged{unscored}")
    return Text("  " + " · ".join(said))


def _risk(risk: RiskSection) -> Text:
    """Say how likely an ordinary file looks as bad, and what to expect of one."""
    expected = sum(found.expected_flagged for found in risk.detectors.values())
    said = f"  {expected:.1f} rows would be flagged if the file were ordinary"
    if risk.p <= UNUSUAL:
        name, worst = min(risk.detectors.items(), key=lambda item: item[1].p)
        said += (
            f"; it is not (p = {risk.p:.1g}): {name} scores {worst.observed} rows "
            f"{worst.score:.2f} or more, an ordinary file {worst.expected:.1f}"
        )
    return Text(said)


def _moderation(said: ModerationSection) -> Text:
    parts = [f"moderation by {said.provider}: {said.rows_asked} rows"]
    parts.append(f"{said.flagged} flagged")
    parts.append(f"{said.not_moderated} not moderated")
    line = Text("  " + " · ".join(parts))
    for reason, number in said.reasons.items():
        line.append(f"\n    {number}: {printable(reason, 200)}")
    return line


def _findings(report: Report) -> Table:
    worst = sorted(report.findings, key=lambda found: -found.score)[:FINDINGS_SHOWN]
    title = f"{len(worst)} of {report.finding_count} findings, highest first"
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=True)
    for head in ("line", "detector", "category", "score", "evidence"):
        table.add_column(head, justify="right" if head in ("line", "score") else "left")
    for found in worst:
        table.add_row(
            str(found.line),
            Text(printable(found.detector, 40)),
            Text(printable(found.category, 40)),
            f"{found.score:.2f}",
            Text(_evidence(found)),
        )
    return table


def _evidence(found: FindingSection) -> str:
    if found.evidence is None:
        return ""
    excerpt = printable(found.evidence.excerpt, 60)
    said = printable(found.evidence.detail, 80)
    return f"{said}: {excerpt}" if excerpt else said
