"""Means have intervals that cover, of skewed values too."""

from collections.abc import Callable

import numpy as np
import pytest

from trial.statistics.mean import MIN_VALUES, mean_change, mean_interval
from trial.statistics.rate import exact_interval

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
    varied = [1.0, 2.0] * MIN_VALUES
    assert mean_interval(varied[:MIN_VALUES]) is not None


def test_values_that_do_not_vary_have_no_interval_of_no_width() -> None:
    assert mean_interval([1.0] * 300) is None
    assert mean_change([1.0] * 300, [1.0] * 300).interval is None
    # None of 300 differed, so 1.2% at most do (exact), each by 4 at most.
    ends = mean_change([1.0] * 300, [1.0] * 300, span=(-4.0, 4.0)).interval
    assert ends == pytest.approx((-0.0489, 0.0489), abs=1e-3)
    ends = mean_change([1.0] * 300, [5.0] * 300, span=(-4.0, 4.0)).interval
    assert ends == pytest.approx((4.0 - 8 * 0.0122, 4.0), abs=1e-3)


def test_values_beyond_those_seen_are_counted_with_where_some_varied() -> None:
    seen = [0.0] * 299 + [1.0]
    plain, bounded = mean_interval(seen), mean_interval(seen, span=(-4.0, 4.0))
    assert plain is not None
    assert bounded is not None
    share = exact_interval(0, 300)[1]
    assert bounded == pytest.approx((plain[0] - share * 4, plain[1] + share * 3))
    ends = [-4.0, 4.0] * 30
    assert mean_interval(ends) == mean_interval(ends, span=(-4.0, 4.0))


@pytest.mark.parametrize("chance", [0.002, 0.01, 0.05])
def test_the_interval_of_a_mean_of_seldom_changes_covers_it(chance: float) -> None:
    draw = np.random.default_rng(2)
    found = [
        mean_interval(list(4.0 * (draw.random(60) < chance)), span=(-4.0, 4.0))
        for _ in range(TRIALS)
    ]
    held = [low <= 4.0 * chance <= high for low, high in filter(None, found)]
    assert len(held) == TRIALS
    assert np.mean(held) >= 0.95


def test_pairs_are_compared_by_their_differences() -> None:
    early = [float(v) for v in range(20)]
    found = mean_change(early, [v - 1.0 - 0.1 * (v % 2) for v in early])
    assert found.change == pytest.approx(-1.05)
    assert found.interval == pytest.approx((-1.079, -1.021), abs=1e-3)
    with pytest.raises(ValueError, match="no pair"):
        mean_change([], [])
