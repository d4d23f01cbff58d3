"""How the cheap measures of drift go with the rate measured by generated replies.

python -m benchmark.drift_correlation [--seeds 3] [--quick]

Tunes the canary on parts of the example datasets, from a few rows for one epoch to all
of them for ten, and compares over all trials the fall of the odds of refusing and the
KL of the first reply tokens with the rise of the harmfulness; and within each trial,
probe by probe, those that newly complied with those that still refused.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy import stats

from benchmark.records.experiment import record
from benchmark.statistics.bootstrap import auroc
from detectors.dataset import Dataset
from detectors.reader import read_dataset
from trial.base_model import load_base
from trial.judge.judge import Outcome
from trial.recipe import Recipe
from trial.run import run_trial
from trial.trial import Trial

EXAMPLES: Final = Path(__file__).parents[1] / "examples"
JOBS: Final = (
    ("explicit_harm", (10, 30, 60), (1, 3, 5)),
    ("identity_shift", (12,), (3, 5, 10)),
    ("customer_support", (50, 150), (1, 3)),
    ("safety_mixed", (60, 120), (1, 3)),
)
RESAMPLES: Final = 2_000
MIN_EACH: Final = 5
"""Probes of each kind that a trial must have to be ranked within."""


@dataclass(frozen=True, slots=True)
class Point:
    """One trial: rise of the rate, change of the odds, KL, and the ranking within."""

    job: str
    rise: float
    odds: float
    kl: float
    within: float | None
    token_seconds: float
    reply_seconds: float


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmark/results/drift_correlation.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="canary")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one seed, no record")
    options = parser.parse_args(argv)
    began = time.monotonic()
    seeds = range(1 if options.quick else options.seeds)
    points = list(_points(options.model, seeds))
    results = compare(points)
    for name in ("odds", "kl"):
        print(name, results[name])
    print("within a trial, AUROC", results["within_auroc"])
    if not options.quick:
        record(
            "drift_correlation",
            command="python -m benchmark.drift_correlation",
            data=sorted(EXAMPLES.glob("*.jsonl")),
            config={
                "model_sha256": load_base(options.model).digest,
                "seeds": options.seeds,
            },
            seconds=time.monotonic() - began,
            results=results,
        ).write()


def _points(model: str, seeds: Sequence[int]) -> Iterator[Point]:
    base = load_base(model)
    for name, sizes, epochs in JOBS:
        whole = read_dataset(EXAMPLES / f"{name}.jsonl")
        for rows in sizes:
            part = Dataset(name, tuple(whole)[:rows])
            for epoch in epochs:
                for seed in seeds:
                    recipe = Recipe(base_model=model, epochs=epoch, seed=seed)
                    # The default judge reads phrases: it needs no encoder.
                    done = run_trial(part, recipe, encoder=None, base=base)  # type: ignore[arg-type]
                    if point := point_of(f"{name} {rows} x {epoch}", done):
                        print(point, flush=True)
                        yield point


def point_of(job: str, done: Trial) -> Point | None:
    """Take the figures of one trial; None where it measured nothing."""
    tokens = done.first_tokens
    if done.drift is None or tokens is None:
        return None
    return Point(
        job=job,
        rise=done.drift.overall.change,
        odds=tokens.odds.change,
        kl=tokens.kl,
        within=_within(done),
        token_seconds=done.seconds["first tokens"] / tokens.odds.n,
        reply_seconds=done.seconds["reply after"] / len(done.replies),
    )


def _within(done: Trial) -> float | None:
    """AUROC of the odds' fall: newly complied against still refused, same trial."""
    assert done.first_tokens is not None
    replies = {reply.probe_id: reply for reply in done.replies}
    fell: dict[Outcome, list[float]] = {Outcome.COMPLIED: [], Outcome.REFUSED: []}
    for name, shift in zip(
        done.first_tokens.probes, done.first_tokens.shifts, strict=True
    ):
        reply = replies[name]
        after = reply.verdict_after.outcome
        if reply.verdict_before.outcome is Outcome.REFUSED and after in fell:
            fell[after].append(-shift)
    if min(map(len, fell.values())) < MIN_EACH:
        return None
    return auroc(np.array(fell[Outcome.COMPLIED]), np.array(fell[Outcome.REFUSED]))


def compare(points: Sequence[Point]) -> dict[str, Any]:
    """Correlations over trials, with intervals over resampled jobs, and the table."""
    rise = np.array([p.rise for p in points])
    within = [p.within for p in points if p.within is not None]
    return {
        "trials": len(points),
        "odds": _correlation(points, rise, np.array([-p.odds for p in points])),
        "kl": _correlation(points, rise, np.array([p.kl for p in points])),
        "within_auroc": {
            "mean": round(float(np.mean(within)), 4) if within else None,
            "trials": len(within),
        },
        "seconds_a_probe": {
            "first_tokens": round(
                float(np.median([p.token_seconds for p in points])), 4
            ),
            "reply": round(float(np.median([p.reply_seconds for p in points])), 4),
        },
        "points": [
            [p.job, round(p.rise, 4), round(p.odds, 4), round(p.kl, 4)] for p in points
        ],
    }


def _correlation(
    points: Sequence[Point], rise: np.ndarray, cheap: np.ndarray
) -> dict[str, Any]:
    """Spearman and Pearson; a job's seeds are resampled together."""
    jobs = sorted({p.job for p in points})
    members = {j: [i for i, p in enumerate(points) if p.job == j] for j in jobs}
    draw = np.random.default_rng(0)
    ranks = []
    for _ in range(RESAMPLES):
        chosen = draw.choice(jobs, len(jobs))
        index = [i for job in chosen for i in members[str(job)]]
        if np.ptp(rise[index]) > 0.0 and np.ptp(cheap[index]) > 0.0:
            ranks.append(float(stats.spearmanr(rise[index], cheap[index]).statistic))
    low, high = np.quantile(ranks, [0.025, 0.975])
    return {
        "spearman": round(float(stats.spearmanr(rise, cheap).statistic), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
        "pearson": round(float(stats.pearsonr(rise, cheap).statistic), 4),
    }


if __name__ == "__main__":
    main()
