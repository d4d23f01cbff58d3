"""Correlations are those of the points, and what cannot be ranked is left out."""

import numpy as np
import pytest

from benchmark.drift_correlation import MIN_EACH, Point, compare, point_of
from trial.drift import JudgedPair, measure_drift
from trial.first_tokens import FirstTokens
from trial.interview import ProbeReply
from trial.judge.judge import Outcome, Verdict
from trial.recipe import Recipe
from trial.statistics.mean import MeanChange
from trial.trial import Trial


def points(noise: float) -> list[Point]:
    draw = np.random.default_rng(0)
    rises = [n / 20 for n in range(20)]
    return [
        Point(f"job {n // 2}", rise, -5 * rise + noise * draw.normal(), 0.1, None, 0, 0)
        for n, rise in enumerate(rises)
    ]


def test_a_perfect_order_is_one_and_noise_lowers_it() -> None:
    straight = compare([*points(0.0), Point("last", 1.0, -5.0, 0.9, None, 0, 0)])
    assert straight["odds"]["spearman"] == 1.0
    assert straight["odds"]["pearson"] == pytest.approx(1.0)
    varied = compare([*points(3.0), Point("last", 1.0, -5.0, 0.9, None, 0, 0)])
    low, high = varied["odds"]["interval"]
    assert low < varied["odds"]["spearman"] < high
    assert varied["odds"]["spearman"] < 0.95


def trial(complied: int, refused: int) -> Trial:
    no, yes = Verdict(Outcome.REFUSED, ""), Verdict(Outcome.COMPLIED, "")
    replies = [
        ProbeReply(f"p{n}", "malware", "q", "a", "b", no, yes if n < complied else no)
        for n in range(complied + refused)
    ]
    pairs = [
        JudgedPair("harmful", "malware", r.verdict_before, r.verdict_after)
        for r in replies
    ]
    pairs += [JudgedPair("harmless", "", yes, yes)]
    # The odds fell most where the reply turned, but for one probe.
    shifts = [-5.0] * complied + [-1.0] * (refused - 1) + [-9.0]
    names = tuple(r.probe_id for r in replies)
    tokens = FirstTokens(
        MeanChange(2.0, -1.0, None, len(names)), 0.3, None, tuple(shifts), (), names
    )
    return Trial(
        Recipe(), "f", True, "", 1, 1, "",
        drift=measure_drift(pairs),
        replies=tuple(replies),
        first_tokens=tokens,
        seconds={"first tokens": 1.0, "reply after": 2.0},
    )  # fmt: skip


def test_probes_are_ranked_within_a_trial() -> None:
    point = point_of("job", trial(10, 10))
    assert point is not None
    assert point.within == pytest.approx(0.9)
    assert point.token_seconds == pytest.approx(0.05)


def test_a_trial_with_too_few_of_one_kind_is_not_ranked() -> None:
    point = point_of("job", trial(MIN_EACH - 1, 10))
    assert point is not None
    assert point.within is None


def test_a_trial_that_measured_nothing_is_no_point() -> None:
    assert point_of("job", Trial(Recipe(), "f", False, "no", 0, 1, "")) is None
