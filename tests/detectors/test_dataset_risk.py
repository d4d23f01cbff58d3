"""A file's risk: exact tails, correction for all looks, and false alarms that hold."""

import numpy as np
import pytest
from scipy.stats import nbinom

from detectors.dataset_risk import Reference, Step, dataset_risk
from detectors.detector import Scores
from detectors.training.risk import fit_steps

STEPS = (Step(0.5, 0.01, 1.0), Step(0.9, 0.001, 0.5))
REFERENCE = Reference({"a": "1", "b": "1"}, {"a": STEPS, "b": STEPS})
AT = {"a": 0.5, "b": 0.5, "c": 0.5, "shape": 0.9}


def scores(name: str, values, *, version: str = "1", risk: float | None = None):
    n = len(values)
    reasons = tuple("not read" if v is None else "" for v in values)
    return Scores(
        name, version, tuple(values), (None,) * n, ("",) * n, reasons, risk=risk
    )


def test_a_step_is_the_mixture_of_poisson_counts_that_it_says() -> None:
    draw = np.random.default_rng(0)
    rates = draw.gamma(1.0, 0.01 / 1.0, 200_000)
    counts = draw.poisson(rates * 300)
    for count in (1, 5, 12):
        seen = float(np.mean(counts >= count))
        assert STEPS[0].chance(count, 300) == pytest.approx(seen, rel=0.05)
    assert STEPS[0].chance(0, 300) == 1.0


def test_the_risk_is_the_smallest_tail_times_the_looks() -> None:
    values = [0.95] * 10 + [0.1] * 490
    found = dataset_risk([scores("a", values), scores("b", [0.1] * 500)], AT, REFERENCE)
    one = float(nbinom.sf(9, 0.5, 0.5 / (0.5 + 0.5)))
    assert found.p == pytest.approx(2 * 2 * one)
    first, second = found.excesses
    assert (first.detector, first.score, first.observed) == ("a", 0.9, 10)
    assert first.expected == pytest.approx(0.5)
    assert second.p == 1.0
    assert found.expected_flagged == {"a": 5.0, "b": 5.0}
    assert 0.0 < found.value < 1.0


def test_rows_that_no_threshold_flags_are_no_evidence() -> None:
    said = [scores("a", [0.7] * 100 + [0.1] * 400)]
    assert dataset_risk(said, AT, REFERENCE).p < 0.01
    stricter = dataset_risk(said, {"a": 0.9}, REFERENCE)
    assert stricter.p == 1.0
    assert stricter.expected_flagged == {"a": 0.5}
    assert dataset_risk(said, {"a": 0.901}, REFERENCE).p == 1.0, "0.9 is its step"
    assert dataset_risk(said, {"a": 0.4}, REFERENCE).p < 0.01, "below all steps: all"


def test_more_high_scores_never_lower_the_risk() -> None:
    before = 1.0
    for count in range(0, 100, 5):
        p = dataset_risk(
            [scores("a", [0.95] * count + [0.1] * (300 - count))], AT, REFERENCE
        ).p
        assert p <= before
        before = p


def test_a_newer_detector_is_held_against_its_threshold_alone() -> None:
    found = dataset_risk(
        [scores("a", [0.7] * 30 + [0.1] * 970, version="2")], AT, REFERENCE
    )
    (excess,) = found.excesses
    assert (excess.score, excess.observed, excess.expected) == (0.5, 30, 5.0)
    unknown = dataset_risk([scores("c", [0.7] * 30 + [0.1] * 970)], AT, REFERENCE)
    assert unknown.p == found.p


def test_a_detector_with_a_risk_of_its_own_is_no_witness() -> None:
    found = dataset_risk([scores("shape", [0.5] * 100, risk=1.0)], AT, REFERENCE)
    assert (found.p, found.value, found.excesses) == (1.0, 0.0, ())


def test_nothing_scored_is_no_alarm() -> None:
    for values in ([], [None] * 5):
        assert dataset_risk([scores("a", values)], AT, REFERENCE).p == 1.0


def test_files_drawn_as_measured_are_seldom_called_bad() -> None:
    draw = np.random.default_rng(1)
    rates = draw.gamma(0.8, 0.01 / 0.8, 400)
    files = [draw.random(400) * 0.5 + 0.5 * (draw.random(400) < r) for r in rates]
    fitted = fit_steps(files[:200], 0.55)
    steps = tuple(Step(*map(float, row)) for row in fitted)
    reference = Reference({"a": "1"}, {"a": steps})
    alarms = [
        dataset_risk([scores("a", v.tolist())], AT, reference).p <= 0.01
        for v in files[200:]
    ]
    assert np.mean(alarms) <= 0.02


def test_rates_never_rise_with_the_score_and_none_is_zero() -> None:
    draw = np.random.default_rng(2)
    fitted = fit_steps([draw.random(100) * 0.8 for _ in range(5)], 0.75)
    assert np.all(np.diff(fitted[:, 0]) > 0)
    assert np.all(np.diff(fitted[:, 1]) <= 0)
    assert fitted[-1, 1] > 0
