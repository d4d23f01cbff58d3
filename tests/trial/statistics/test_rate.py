"""The exact interval of a rate covers at least what it says."""

import numpy as np
import pytest
from scipy import stats

from trial.statistics.rate import exact_interval


@pytest.mark.parametrize("n", [5, 30, 120])
def test_the_exact_interval_covers_every_rate(n: int) -> None:
    bounds = np.array([exact_interval(k, n) for k in range(n + 1)])
    for rate in (0.0, 0.01, 0.1, 0.3, 0.5, 0.77, 1.0):
        held = (bounds[:, 0] <= rate + 1e-12) & (bounds[:, 1] >= rate - 1e-12)
        assert stats.binom.pmf(np.arange(n + 1), n, rate)[held].sum() >= 0.95


def test_none_of_many_still_allows_a_little() -> None:
    assert exact_interval(0, 330) == pytest.approx((0.0, 0.0111), abs=1e-4)
    assert exact_interval(0, 0) == (0.0, 1.0)
