"""What holds of the gate whatever it is given: worse is never judged more mildly."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from service.gate import REASONS, Decision, Outcome, decide
from service.policy import Policy
from service.screening import stop_rule
from tests.service.gate_inputs import (
    NAMES,
    codes,
    drift,
    facts,
    quiet,
    scores,
    trial,
)

VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)
AFTER = st.floats(0, 0.9)
HALF = st.floats(0, 0.3)


def screened(values: list[float], after: float, half: float) -> Decision:
    rows = len(values)
    said = (scores(NAMES[0], tuple(values)), *quiet(rows))
    return decide(Policy(), facts(rows), said, trial(rows, drift(after, half=half)))


@given(VALUES, AFTER, HALF, st.data())
def test_a_higher_score_never_makes_the_outcome_milder(
    values: list[float], after: float, half: float, data: st.DataObject
) -> None:
    worse = [data.draw(st.floats(value, 1)) for value in values]
    mild, grave = screened(values, after, half), screened(worse, after, half)
    assert grave.outcome.severity >= mild.outcome.severity


@given(VALUES, AFTER, HALF, st.floats(0, 0.1))
def test_more_drift_never_makes_the_outcome_milder(
    values: list[float], after: float, half: float, more: float
) -> None:
    mild, grave = screened(values, after, half), screened(values, after + more, half)
    assert grave.outcome.severity >= mild.outcome.severity


@given(AFTER, HALF)
def test_the_rule_that_ends_a_trial_early_is_the_gates_own_line(
    after: float, half: float
) -> None:
    rule = stop_rule(Policy())
    assert rule is not None
    rejected = screened([0.0], after, half).outcome is Outcome.REJECT
    assert rejected == rule.met(drift(after, half=half).overall)


@given(
    st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=20),
    st.sampled_from([None, "unmeasured", "measured"]),
    st.integers(0, 2),
    AFTER,
)
def test_nothing_unread_unscored_or_unmeasured_is_ever_accepted(
    values: list[float | None], run: str | None, bad: int, after: float
) -> None:
    rows = len(values)
    done = None if run is None else trial(rows, drift(after))
    if done is not None and run == "unmeasured":
        done = replace(done, measured=False, drift=None)
    said = (scores(NAMES[0], tuple(values)), *quiet(rows))
    lines = replace(facts(rows), bad_line_count=bad)
    decision = decide(Policy(), lines, said, done)
    whole = None not in values and run == "measured" and not bad
    assert decision.outcome is not Outcome.ACCEPT or whole
    assert decision.reasons
    assert codes(decision) <= set(REASONS)


@given(VALUES, AFTER, HALF)
def test_the_same_arguments_give_the_same_decision(
    values: list[float], after: float, half: float
) -> None:
    assert screened(values, after, half) == screened(values, after, half)
