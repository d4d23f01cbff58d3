"""Is a file worse than chance? Rows over each step of score, against ordinary files.

Detectors err on ordinary rows, on some files oftener than on others. So the number of
rows over a step is held against a negative binomial: a Poisson count whose rate
differs from file to file (Greenwood and Yule 1920). The smallest of all tails, times
their number (Bonferroni), is the chance of an ordinary file that looks as bad.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import nbinom

from detectors.detector import Scores
from detectors.embedding import Encoder
from detectors.errors import DigestMismatch, ModelError
from detectors.head import HEADS, Head, load_head

NAME: Final = "dataset_risk"
STEPS: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
"""Scores at which rows are counted, beside a detector's own threshold."""
UNKNOWN_RATE: Final = 0.005
UNKNOWN_SHAPE: Final = 0.5
"""For a detector that was not measured: what suggested thresholds are chosen for."""
SURE: Final = 12.0
LEAST_P: Final = 1e-300


@dataclass(frozen=True, slots=True)
class Step:
    """Ordinary files: `rate` of rows at or over `score`, `shape` how alike they are.

    The rate of a file is Gamma distributed with this mean and shape.
    """

    score: float
    rate: float
    shape: float

    def chance(self, count: int, rows: int) -> float:
        """Chance of `count` or more of `rows` in an ordinary file."""
        if not count:
            return 1.0
        stop = self.shape / (self.shape + self.rate * rows)
        return float(nbinom.sf(count - 1, self.shape, stop))


@dataclass(frozen=True, slots=True)
class Excess:
    """The step at which one detector finds a file most unusual.

    `observed` rows score `score` or more where `expected` would in an ordinary file;
    `p` is the chance of so many, corrected for the steps of this detector.
    """

    detector: str
    score: float
    observed: int
    expected: float
    p: float


@dataclass(frozen=True)
class DatasetRisk:
    """`p`: chance of an ordinary file that looks as bad to any of the detectors.

    `value` is -log10(p) / SURE within 0..1, `excesses` one a detector, and
    `expected_flagged` the false alarms to expect at each detector's threshold in an
    ordinary file of this size.
    """

    p: float
    value: float
    excesses: tuple[Excess, ...]
    expected_flagged: Mapping[str, float]


@dataclass(frozen=True)
class Reference:
    """How detectors score ordinary rows: name -> steps, by the version measured."""

    versions: Mapping[str, str]
    steps: Mapping[str, tuple[Step, ...]]

    def steps_of(self, scores: Scores, threshold: float) -> tuple[Step, ...]:
        """Return the steps of a detector, or the bare threshold where it is newer."""
        if self.versions.get(scores.detector) == scores.version:
            return self.steps[scores.detector]
        return (Step(threshold, UNKNOWN_RATE, UNKNOWN_SHAPE),)


def load_reference(encoder: Encoder, heads: Path = HEADS) -> Reference:
    """Load what was measured on ordinary rows; empty where there is nothing to load.

    Then every detector is held against its threshold alone.
    """
    try:
        return reference_of(load_head(NAME, encoder, heads))
    except DigestMismatch:
        raise
    except ModelError:  # another encoder, or not measured yet: not an error of the file
        return Reference({}, {})


def reference_of(head: Head) -> Reference:
    """Read the steps from tensors "<detector>.steps" (k, 3)."""
    versions: Mapping[str, str] = head.record["figures"]["versions"]
    return Reference(
        versions,
        {
            name: tuple(Step(*map(float, row)) for row in head.tensors[f"{name}.steps"])
            for name in versions
        },
    )


def dataset_risk(
    said: Sequence[Scores], thresholds: Mapping[str, float], reference: Reference
) -> DatasetRisk:
    """Join the scores of all detectors to one word on the file.

    `thresholds` maps detector -> the score from which a row is flagged. A detector
    with a risk of its own (`Scores.risk`) is no witness here: it finds no rows.
    """
    excesses, expected = [], {}
    for scores in (each for each in said if each.risk is None):
        threshold = thresholds[scores.detector]
        steps = reference.steps_of(scores, threshold)
        values = np.asarray([v for v in scores.values if v is not None], np.float64)
        expected[scores.detector] = round(len(values) * _rate(steps, threshold), 4)
        witnesses = _witnesses(steps, threshold)
        excesses.append(_excess(scores.detector, witnesses, values))
    looks = max(1, len(excesses))
    p = min(1.0, looks * min((each.p for each in excesses), default=1.0))
    value = min(1.0, -log10(max(p, LEAST_P)) / SURE) if p < 1.0 else 0.0
    return DatasetRisk(p, round(value, 4), tuple(excesses), expected)


def _rate(steps: Sequence[Step], threshold: float) -> float:
    """Rate at the highest step that is not over the threshold: rather too many."""
    return min((step.rate for step in steps if _is_reached(step, threshold)), default=1)


def _is_reached(step: Step, threshold: float) -> bool:
    return step.score <= threshold + 1e-9


def _witnesses(steps: Sequence[Step], threshold: float) -> list[Step]:
    """Return the steps whose rows are flagged: from the one that the threshold reaches.

    Below it ordinary sources differ most: one that was never seen looks bad by rows
    that nobody would flag (benchmark/LOG.md).
    """
    lowest = max((s.score for s in steps if _is_reached(s, threshold)), default=0.0)
    return [step for step in steps if step.score >= lowest]


def _excess(
    detector: str, steps: Sequence[Step], values: NDArray[np.float64]
) -> Excess:
    rows, found = len(values), []
    for step in steps:
        # Scores are compared at the precision at which they are shown.
        count = int(np.sum(np.round(values, 4) >= round(step.score, 4)))
        p = min(1.0, len(steps) * step.chance(count, rows))
        found.append(Excess(detector, step.score, count, round(step.rate * rows, 4), p))
    return min(found, key=lambda excess: (excess.p, excess.score))
