"""Intervals cover what they promise, and no change raises no alarm."""

import itertools

import numpy as np
import pytest
from scipy import stats

from trial.statistics.paired import mcnemar_p, paired_interval

RATES = (0.0, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0)


class Outcomes:
    """Every (gained, lost) of n probes with its interval and exact probability."""

    def __init__(self, n: int) -> None:
        self.n = n
        pairs = itertools.product(range(n + 1), repeat=2)
        self.cells = np.array([c for c in pairs if sum(c) <= n])
        self.bounds = np.array(
            [paired_interval(int(g), int(k), n) for g, k in self.cells]
        )

    def chances(self, gain: float, loss: float) -> np.ndarray:
        stay = max(0.0, 1.0 - gain - loss)
        total = gain + loss + stay
        kept = self.n - self.cells.sum(axis=1)
        return stats.multinomial.pmf(
            np.c_[self.cells, kept], self.n, np.array([gain, loss, stay]) / total
        )

    def coverage(self, gain: float, loss: float) -> float:
        true = gain - loss
        held = (self.bounds[:, 0] <= true + 1e-9) & (self.bounds[:, 1] >= true - 1e-9)
        return float(self.chances(gain, loss)[held].sum())

    def false_alarm(self, rate: float) -> float:
        return float(self.chances(rate, rate)[self.bounds[:, 0] > 0].sum())


@pytest.mark.parametrize(("n", "least"), [(10, 0.92), (30, 0.93)])
def test_the_interval_covers_the_true_change(n: int, least: float) -> None:
    outcomes = Outcomes(n)
    found = [
        outcomes.coverage(gain, loss)
        for gain, loss in itertools.product(RATES, repeat=2)
        if gain + loss <= 1.0
    ]
    assert min(found) >= least
    assert np.mean(found) >= 0.95


@pytest.mark.parametrize("n", [10, 30])
def test_no_true_change_raises_an_alarm_no_oftener_than_promised(n: int) -> None:
    outcomes = Outcomes(n)
    alarms = [outcomes.false_alarm(rate / 2) for rate in RATES]
    assert max(alarms) <= 0.025
    assert max(alarms) > 0.002


def test_simulated_trials_are_covered_at_three_hundred_probes() -> None:
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        cells = draw.multinomial(300, [0.06, 0.02, 0.92])
        low, high = paired_interval(int(cells[0]), int(cells[1]), 300)
        held += low <= 0.04 <= high
    assert held / 400 >= 0.93


@pytest.mark.parametrize("n", [1, 5, 30, 330])
def test_the_interval_is_honest_where_nothing_or_everything_changed(n: int) -> None:
    low, high = paired_interval(0, 0, n)
    assert low == pytest.approx(-high)
    # The rule of three: none of n still allows 3/n (less at tiny n).
    assert high >= 0.7 * min(1.0, 3.0 / n)
    low, high = paired_interval(n, 0, n)
    assert high == 1.0
    assert low < 1.0


def test_the_interval_mirrors_when_gains_and_losses_swap() -> None:
    low, high = paired_interval(9, 2, 40)
    assert paired_interval(2, 9, 40) == pytest.approx((-high, -low))


def test_the_interval_agrees_with_a_published_example() -> None:
    # Tango 1998, table I: 43 of 44 pairs agree, 1 lost; his interval (-.118, .053)
    # lies inside ours, which is at most a little wider.
    low, high = paired_interval(0, 1, 44)
    assert -0.14 < low <= -0.1179
    assert 0.053 <= high < 0.075


def test_mcnemar_is_the_exact_sign_test() -> None:
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(6, 0) == pytest.approx(2 / 64)
    assert mcnemar_p(3, 8) == pytest.approx(mcnemar_p(8, 3))


def test_an_interval_above_zero_and_the_test_never_contradict() -> None:
    for gained, lost in itertools.product(range(16), repeat=2):
        if paired_interval(gained, lost, 40)[0] > 0:
            assert mcnemar_p(gained, lost) <= 0.05


def test_no_probes_means_nothing_is_known() -> None:
    assert paired_interval(0, 0, 0) == (-1.0, 1.0)
