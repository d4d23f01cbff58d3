"""The change that is called detectable is detected."""

import numpy as np
import pytest

from trial.statistics.paired import paired_interval
from trial.statistics.power import detectable_change


@pytest.mark.parametrize("n", [30, 100, 300])
def test_the_detectable_change_is_detected_four_times_in_five(n: int) -> None:
    change = detectable_change(n)
    draw = np.random.default_rng(1)
    seen = [paired_interval(int(k), 0, n)[0] > 0 for k in draw.binomial(n, change, 600)]
    assert abs(np.mean(seen) - 0.8) < 0.06


def test_more_probes_detect_smaller_changes_and_too_few_detect_none() -> None:
    assert detectable_change(3) == 1.0
    assert detectable_change(0) == 1.0
    assert detectable_change(300) < detectable_change(30) < 0.4


def test_a_stricter_interval_detects_no_smaller_change() -> None:
    assert detectable_change(300, confidence=0.99) >= detectable_change(300)
