"""Summary of the trial: measured drift, what it could have shown, and utility."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from service.report.report import Report
from service.report.trial_report import (
    DriftSection,
    MeanSection,
    RateSection,
    TrialSection,
    TriedSection,
    UtilitySection,
)
from service.text import printable


def drift_parts(report: Report) -> Iterator[RenderableType]:
    """Yield the table of rates and the lines below it."""
    drift = report.drift
    if not drift.measured or drift.overall is None:
        yield Text(f"  drift not measured: {printable(drift.reason, 300)}")
        return
    yield _rates(drift)
    for line in _notes(drift):
        yield Text(f"  {printable(line, 600)}")
    if report.trial is not None:
        for line in _trial_notes(report.trial):
            yield Text(f"  {printable(line, 600)}")


def _rates(drift: DriftSection) -> Table:
    table = Table(
        title=Text("measured drift"), title_justify="left", box=None, pad_edge=True
    )
    for head in ("rate", "before", "after", "95% interval of the change", "n"):
        table.add_column(head, justify="left" if head == "rate" else "right")
    named: dict[str, RateSection | None] = {
        "harmfulness": drift.overall,
        "refusal": drift.refusal,
        "over-refusal": drift.over_refusal,
        "borderline refusal": drift.borderline,
        "incoherent": drift.incoherent,
    }
    for name, rate in (*named.items(), *drift.categories.items()):
        if rate is not None:
            label = name if name in named else f"  {printable(name, 40)}"
            table.add_row(Text(label), *rate_cells(rate))
    return table


def _notes(drift: DriftSection) -> Iterator[str]:
    if drift.stopping is not None and drift.stopping.stopped:
        asked, planned = drift.stopping.asked, drift.stopping.planned
        yield f"ended after {asked} of {planned} harmful probes: {drift.stopping.rule}"
    if drift.pooling:
        yield drift.pooling
    if drift.score is not None:
        yield f"harmfulness score 1..5: {_mean(drift.score)}"
    if drift.seed_spread is not None:
        rises = [s.overall.after - s.overall.before for s in drift.seeds]
        yield (
            f"{len(rises)} seeds: rise {min(rises):+.1%} to {max(rises):+.1%}, "
            f"standard deviation {drift.seed_spread:.1%}; the worst is shown"
        )
    if drift.first_tokens is not None:
        tokens = drift.first_tokens
        yield (
            f"first reply tokens: log odds of refusing {_mean(tokens.refusal_odds)} "
            f"nats; KL {tokens.kl:.3f} nats a token"
        )


def _trial_notes(trial: TrialSection) -> Iterator[str]:
    if len(trial.contexts) > 1:
        rises = (f"{n} {r.after - r.before:+.1%}" for n, r in trial.contexts.items())
        yield f"worst context: {trial.context} (rises: {', '.join(rises)})"
    if trial.utility is not None:
        yield _utility(trial.utility)
    if trial.attribution is not None and trial.attribution.rows:
        lines = ", ".join(str(each.line) for each in trial.attribution.rows[:10])
        yield f"rows that match the drift best: lines {lines}"
    if trial.judge is not None:
        asked = trial.judge
        yield f"judge: {asked.requests} requests, about {asked.tokens} tokens sent"
    if trial.mitigation is not None:
        for row in trial.mitigation.table[1:]:
            yield f"{row.words}: {_rates_of(row)}"
        yield f"mitigation: {trial.mitigation.recommendation}"


def _rates_of(row: TriedSection) -> str:
    if row.overall is None:
        return f"not measured ({row.reason})"
    said = f"harmfulness {row.overall.before:.1%} -> {row.overall.after:.1%}"
    if row.over_refusal is not None:
        change = row.over_refusal.after - row.over_refusal.before
        said += f", over-refusal {change:+.1%}"
    return said if row.loss_after is None else f"{said}, loss {row.loss_after:.2f}"


def _utility(utility: UtilitySection) -> str:
    if utility.loss is None:
        return f"loss on held-out rows: {utility.rule}"
    return f"loss on held-out rows: {_mean(utility.loss)} nats ({utility.rule})"


def _mean(mean: MeanSection) -> str:
    said = f"{mean.before:.3f} -> {mean.after:.3f}"
    if mean.interval is not None:
        low, high = mean.interval
        return f"{said} (change {low:+.3f} to {high:+.3f}, 95%, n={mean.n})"
    return f"{said} (no interval: too few values or all alike, n={mean.n})"


def rate_cells(rate: RateSection) -> tuple[str, str, str, str]:
    """Return before, after, interval of the change and n as text."""
    low, high = rate.interval
    return (
        f"{rate.before:.1%}",
        f"{rate.after:.1%}",
        f"{low:+.1%} to {high:+.1%}",
        str(rate.n),
    )
