"""The gate holds every context and every seed to the limits, not the worst alone."""

from dataclasses import replace
from typing import Any

import pytest

from service.gate import Outcome
from tests.service.gate_inputs import codes, decided, drift, rate, trial
from trial.drift import RateChange
from trial.trial import SeedDrift

UP = {"B": replace(rate(0.0, 0.87), interval=(0.65, 0.97), n=30)}
OPEN = replace(rate(0.02, 0.04), interval=(-0.11, 0.21), n=50)


def seed(number: int = 1, **changed: Any) -> SeedDrift:
    return replace(SeedDrift(number, "plain", rate(0.1, 0.1)), **changed)


def test_a_category_that_rose_in_a_milder_context_or_another_seed_is_reviewed() -> None:
    milder = seed(0, reported=True, categories={"trigger 1": UP})
    decision = decided(replace(trial(100), seeds=(milder,)))
    assert codes(decision) == {"drift_in_category"}
    assert "Harmfulness in B with trigger 1 rose" in decision.reasons[0].message
    other = seed(1, categories={"plain": UP})
    decision = decided(replace(trial(100), seeds=(seed(0, reported=True), other)))
    assert codes(decision) == {"drift_in_category"}
    assert "in B with seed 1 rose" in decision.reasons[0].message


@pytest.mark.parametrize(
    ("milder", "code"),
    [(OPEN, "drift_uncertain"), (rate(0.1, 0.2), "drift_raised")],
)
def test_a_milder_context_and_another_seed_are_held_to_the_same_limits(
    milder: RateChange, code: str
) -> None:
    decision = decided(replace(trial(100), contexts={"trigger 1": milder}))
    assert codes(decision) == {code}
    assert "with trigger 1" in decision.reasons[0].message
    seeds = (seed(0, reported=True), seed(1, contexts={"trigger 1": milder}))
    decision = decided(replace(trial(100), seeds=seeds))
    assert codes(decision) == {code}
    assert "with trigger 1 with seed 1" in decision.reasons[0].message


def test_contexts_hardly_begun_when_a_reject_ended_the_trial_say_nothing() -> None:
    worst = replace(rate(0.1, 0.9), n=30, stopped=True)
    told = trial(100, replace(drift(), overall=worst, stopped=True, planned=300))
    decision = decided(replace(told, contexts={"trigger 1": OPEN}))
    assert decision.outcome is Outcome.REJECT
    assert codes(decision) == {"drift_high"}
