"""Means of what every probe gives a number for, with bootstrap intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from trial.statistics.paired import CONFIDENCE
from trial.statistics.rate import exact_interval

RESAMPLES: Final = 1_999
MIN_VALUES: Final = 10
"""Under so many values a bootstrap promises more than it holds."""


@dataclass(frozen=True, slots=True)
class MeanChange:
    """A mean before and after on the same n things; `interval` is of the change.

    The unit is that of the values. `interval` is None under MIN_VALUES values, and
    where all differences are one and it is not known between what they lie.
    """

    before: float
    after: float
    interval: tuple[float, float] | None
    n: int

    @property
    def change(self) -> float:
        """`after - before`."""
        return self.after - self.before


def mean_change(
    before: Sequence[float],
    after: Sequence[float],
    confidence: float = CONFIDENCE,
    *,
    span: tuple[float, float] | None = None,
) -> MeanChange:
    """Compare paired values, at least one pair; ValueError where there is none.

    `span` is between what the differences lie, None where that is not known.
    """
    if not before:
        raise ValueError("there is no pair to compare")
    pairs = zip(before, after, strict=True)
    differences = [late - early for early, late in pairs]
    return MeanChange(
        before=float(np.mean(before)),
        after=float(np.mean(after)),
        interval=mean_interval(differences, confidence, span=span),
        n=len(differences),
    )


def mean_interval(
    values: Sequence[float],
    confidence: float = CONFIDENCE,
    *,
    span: tuple[float, float] | None = None,
) -> tuple[float, float] | None:
    """Interval of the mean of independent values, None under MIN_VALUES of them.

    The hull of Student's interval and the studentised bootstrap's (Efron 1982): the
    first is right for few values, the second for skewed ones such as divergences. In
    simulation it covers 94 to 97% from n = 30, log-normal values included; of n = 10
    log-normal ones 91%. The bias-corrected bootstrap (BCa) covered 90% of n = 30.
    Seeded, so that a report can be repeated.

    Neither sees values that the sample has not: where all are one, both have no width.
    With a `span` (lowest, highest) the share of values beyond the sample's ends is
    taken at its exact upper limit, that of 0 of n (Clopper and Pearson 1934; the rule
    of three of Hanley and Lippman-Hand, JAMA 249, 1983, 1743-1745), and they themselves
    at the span's ends. Without one there is no bound: None where all values are one.
    """
    if len(values) < MIN_VALUES:
        return None
    sample = np.asarray(values, dtype=np.float64)
    seen = _seen_interval(sample, confidence)
    if span is None:
        return seen
    low, high = seen or (float(sample.mean()),) * 2
    share = exact_interval(0, len(sample), confidence)[1]
    return (
        max(span[0], low - share * (float(sample.min()) - span[0])),
        min(span[1], high + share * (span[1] - float(sample.max()))),
    )


def _seen_interval(sample: np.ndarray, confidence: float) -> tuple[float, float] | None:
    """Hull of Student's and the bootstrap's interval; None where nothing varies."""
    mean, error = float(sample.mean()), float(stats.sem(sample))
    if error <= 1e-12 * max(1.0, abs(mean)):
        return None
    tail = 0.5 + confidence / 2
    student = float(stats.t.ppf(tail, len(sample) - 1))
    low, high = np.quantile(_studentised_means(sample), [1.0 - tail, tail])
    return (
        mean - max(float(high), student) * error,
        mean - min(float(low), -student) * error,
    )


def _studentised_means(sample: np.ndarray) -> np.ndarray:
    """(mean - true mean) / standard error of resamples, those that vary at all."""
    size = len(sample)
    draws = np.random.default_rng(0).integers(0, size, (RESAMPLES, size))
    resampled = sample[draws]
    errors = resampled.std(axis=1, ddof=1) / np.sqrt(size)
    varied = errors > 0.0
    return np.asarray((resampled.mean(axis=1)[varied] - sample.mean()) / errors[varied])
