"""Bets win as rarely as promised, however often one looks; bounds are what is left."""

import math
from functools import cache, lru_cache

import numpy as np
import pytest

from trial.statistics.betting import betting_interval, log_capital, lower_bound
from trial.statistics.paired import paired_interval

ALPHA = 0.05
LOOKS = (10, 20, 30, 50, 80, 120, 200, 300)


def counts(outcomes: np.ndarray) -> np.ndarray:
    """(trials, looks, 2): gained and lost at every look."""
    gained = (outcomes == 1).cumsum(axis=1)
    lost = (outcomes == -1).cumsum(axis=1)
    at = [n - 1 for n in LOOKS]
    return np.stack([gained[:, at], lost[:, at]], axis=-1)


def draw(gains: np.ndarray, losses: np.ndarray, trials: int, seed: int) -> np.ndarray:
    """Outcomes -1, 0, 1 of 300 probes; the categories follow each other in turn."""
    chance = np.random.default_rng(seed).random((trials, 300))
    gain, loss = np.resize(gains, 300), np.resize(losses, 300)
    return np.where(chance < gain, 1, np.where(chance > 1.0 - loss, -1, 0))


@cache
def capital(gained: int, lost: int, n: int, margin: float) -> float:
    return log_capital(gained, lost, n, margin)


def ever_rejected(outcomes: np.ndarray, margin: float) -> float:
    needed = -math.log(ALPHA)
    won = [
        any(
            capital(int(g), int(k), n, margin) >= needed
            for n, (g, k) in zip(LOOKS, row, strict=True)
        )
        for row in counts(outcomes)
    ]
    return float(np.mean(won))


@pytest.mark.parametrize(
    ("gains", "losses", "margin"),
    [
        ([0.05], [0.05], 0.0),
        ([0.3], [0.3], 0.0),
        ([0.1], [0.0], 0.1),
        # Ten categories that differ, the mean change 0.1 exactly.
        ([0.6, 0.5, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [0.02], 0.1),
    ],
)
def test_a_true_margin_is_rejected_no_oftener_than_promised_at_any_look(
    gains: list[float], losses: list[float], margin: float
) -> None:
    assert np.mean(gains) - np.mean(losses) <= margin + 1e-12
    outcomes = draw(np.array(gains), np.array(losses), 1000, seed=3)
    assert ever_rejected(outcomes, margin) <= ALPHA


def test_the_same_looks_with_ordinary_intervals_break_the_promise() -> None:
    outcomes = counts(draw(np.array([0.3]), np.array([0.3]), 400, seed=3))
    found = lru_cache(paired_interval)
    alarms = [
        any(
            found(int(g), int(k), n, 1.0 - 2 * ALPHA)[0] > 0
            for n, (g, k) in zip(LOOKS, row, strict=True)
        )
        for row in outcomes
    ]
    assert np.mean(alarms) > 1.5 * ALPHA


def test_one_bet_is_fair_exactly() -> None:
    # Summed over every outcome of 12 probes the capital is 1 on average at the margin.
    gain, loss, n = 0.3, 0.1, 12
    stay = 1.0 - gain - loss
    mean = sum(
        math.exp(log_capital(g, k, n, gain - loss))
        * math.factorial(n)
        / (math.factorial(g) * math.factorial(k) * math.factorial(n - g - k))
        * gain**g
        * loss**k
        * stay ** (n - g - k)
        for g in range(n + 1)
        for k in range(n + 1 - g)
    )
    assert mean == pytest.approx(1.0, rel=1e-9)


def test_the_bound_is_the_margin_at_which_the_bet_is_just_won() -> None:
    bound = lower_bound(20, 2, 40, ALPHA)
    assert log_capital(20, 2, 40, bound) == pytest.approx(-math.log(ALPHA), abs=1e-4)
    assert lower_bound(21, 2, 40, ALPHA) > bound > lower_bound(20, 3, 40, ALPHA)


def test_nothing_asked_means_nothing_is_known() -> None:
    assert betting_interval(0, 0, 0) == (-1.0, 1.0)


def test_the_interval_mirrors_and_narrows() -> None:
    low, high = betting_interval(9, 2, 40)
    assert betting_interval(2, 9, 40) == pytest.approx((-high, -low))
    wide, narrow = betting_interval(3, 0, 30), betting_interval(30, 0, 300)
    assert wide[0] < narrow[0] < 0.1 < narrow[1] < wide[1]
