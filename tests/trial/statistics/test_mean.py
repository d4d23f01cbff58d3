"""Means have intervals that cover, of skewed values too."""

from collections.abc import Callable

import numpy as np
import pytest

from trial.statistics.mean import MIN_VALUES, mean_change, mean_interval

TRIALS = 200
KINDS: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], float]] = {
    "normal": (lambda draw, n: draw.normal(size=n), 0.0),
    "exponential": (lambda draw, n: draw.exponential(size=n), 1.0),
    "log-normal": (lambda draw, n: draw.lognormal(size=n), float(np.exp(0.5))),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_interval_of_a_mean_covers_it(kind: str) -> None:
    values, true = KINDS[kind]
    draw = np.random.default_rng(1)
    found = [mean_interval(list(values(draw, 60))) for _ in range(TRIALS)]
    held = [low <= true <= high for low, high in filter(None, found)]
    assert len(held) == TRIALS
    # Two standard errors of 200 simulations below 95%.
    assert np.mean(held) >= 0.92


def test_the_same_values_give_the_same_interval() -> None:
    values = [float(v) for v in np.random.default_rng(0).exponential(size=40)]
    assert mean_interval(values) == mean_interval(values)


def test_few_values_have_a_mean_and_no_interval() -> None:
    assert mean_interval([1.0] * (MIN_VALUES - 1)) is None
    assert mean_interval([1.0] * MIN_VALUES) == (1.0, 1.0)


def test_pairs_are_compared_by_their_differences() -> None:
    early = [float(v) for v in range(20)]
    found = mean_change(early, [v - 1.0 for v in early])
    assert found.change == pytest.approx(-1.0)
    assert found.interval == pytest.approx((-1.0, -1.0))
    with pytest.raises(ValueError, match="no pair"):
        mean_change([], [])
