from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.dataset import BadLine, Dataset, Example, Message, Origin
from detectors.detector import Scores
from service.finding import make_findings, name_lines
from service.gate import REASONS, Decision, Facts, Outcome, Reason, decide
from service.policy import DetectorLimits, Policy, parse_policy
from service.screening import stop_rule
from trial.coverage import Coverage
from trial.drift import DriftReport, RateChange
from trial.recipe import Recipe
from trial.run import AdapterProof, Trial

NAMES = tuple(DetectorLimits.model_fields)
PRINT = "f" * 64
LAX = parse_policy(b"trial: {required: false}")


def rate(before: float, after: float, half: float = 0.05, n: int = 200) -> RateChange:
    change = after - before
    return RateChange(before, after, (change - half, change + half), n)


def drift(
    after: float = 0.12,
    *,
    half: float = 0.05,
    refusal: float = 0.88,
    over_refusal: float = 0.05,
    incoherent: float = 0.02,
    unclear: int = 4,
) -> DriftReport:
    return DriftReport(
        overall=replace(rate(0.10, after, half), unclear_after=unclear),
        categories={"malware": rate(0.1, 0.1, 0.2, 20)},
        refusal=rate(0.88, refusal),
        over_refusal=rate(0.05, over_refusal),
        incoherent=rate(0.02, incoherent),
        detectable=0.08,
    )


def trial(rows: int, measured_drift: DriftReport | None = None) -> Trial:
    return Trial(
        recipe=Recipe(),
        fingerprint=PRINT,
        measured=True,
        reason="",
        rows_trained=rows,
        rows_total=rows,
        sampling="all rows",
        drift=measured_drift or drift(),
        proof=AdapterProof(3.0, 1.0, 0.5, applied=True),
    )


def facts(rows: int) -> Facts:
    return Facts(PRINT, tuple(range(1, rows + 1)))


def scores(detector: str, values: tuple[float | None, ...]) -> Scores:
    n = len(values)
    why = tuple("too long" if v is None else "" for v in values)
    return Scores(detector, "1", values, (None,) * n, ("malware",) * n, why)


def quiet(rows: int) -> tuple[Scores, ...]:
    """Every detector but the first, with nothing to say."""
    return tuple(scores(name, (0.01,) * rows) for name in NAMES[1:])


def flagged(count: int, rows: int = 100) -> tuple[Scores, ...]:
    values = (0.9,) * count + (0.01,) * (rows - count)
    return scores(NAMES[0], values), *quiet(rows)


def codes(decision: Decision) -> set[str]:
    return {reason.code for reason in decision.reasons}


def test_all_read_scored_and_measured_without_a_limit_reached_is_accepted() -> None:
    decision = decide(Policy(), facts(100), flagged(0), trial(100))
    assert decision.outcome is Outcome.ACCEPT
    assert codes(decision) == {"within_policy"}
    assert "100 rows read and scored" in decision.reasons[0].message


def test_one_flagged_row_is_reviewed_and_named() -> None:
    decision = decide(Policy(), facts(100), flagged(1), trial(100))
    assert decision.outcome is Outcome.REVIEW
    assert "Remove or review line 1." in decision.reasons[0].message


@pytest.mark.parametrize(
    ("count", "rows", "after", "outcome"),
    [
        (10, 100, 0.12, Outcome.REJECT),  # many rows and a large share
        (4, 10, 0.12, Outcome.REVIEW),  # too few rows to be sure
        (9, 100, 0.12, Outcome.REVIEW),  # diluted, and no drift
        (9, 100, 0.24, Outcome.REJECT),  # diluted, but drift agrees
        (9, 1000, 0.24, Outcome.REVIEW),  # 0.9% may be false alarms
        (0, 100, 0.60, Outcome.REJECT),  # drift that no detector saw
        (0, 100, 0.24, Outcome.REVIEW),
    ],
)
def test_rows_and_drift_are_weighed_together(
    count: int, rows: int, after: float, outcome: Outcome
) -> None:
    lines = facts(rows)
    decision = decide(Policy(), lines, flagged(count, rows), trial(rows, drift(after)))
    assert decision.outcome is outcome


@pytest.mark.parametrize(
    ("asked", "was", "after", "outcome"),
    [
        (True, False, 0.12, Outcome.REVIEW),
        (True, True, 0.12, Outcome.ACCEPT),
        (False, False, 0.12, Outcome.ACCEPT),
        (True, False, 0.60, Outcome.REJECT),  # what was measured still counts
    ],
)
def test_a_trial_in_fewer_contexts_than_the_policy_asks_for_is_no_acceptance(
    asked: bool, was: bool, after: float, outcome: Outcome
) -> None:
    policy = parse_policy(f"trial: {{all_contexts: {str(asked).lower()}}}".encode())
    measured = trial(100, drift(after))
    found = decide(policy, facts(100), flagged(0), measured, everywhere=was)
    assert found.outcome is outcome
    said = [each.message for each in found.reasons if each.code == "trial_not_measured"]
    expected = ["The trial was not asked in all contexts: screen again."]
    assert said == (expected if asked and not was else [])


def test_a_few_doubtful_rows_of_a_large_file_are_left_as_findings() -> None:
    def outcome(score: float, rows: int) -> Outcome:
        values = (score, *((0.01,) * (rows - 1)))
        said = (scores(NAMES[0], values), *quiet(rows))
        return decide(Policy(), facts(rows), said, trial(rows)).outcome

    limits = Policy().rows(NAMES[0])
    doubtful = (limits.row_threshold + limits.sure_score) / 2
    assert outcome(doubtful, 1000) is Outcome.ACCEPT
    assert outcome(doubtful, 200) is Outcome.REVIEW
    assert outcome(limits.sure_score, 1000) is Outcome.REVIEW


@pytest.mark.parametrize(
    ("unreadable", "harmful", "after", "outcome"),
    [
        (100, 0, 0.12, Outcome.REVIEW),  # a whole file that nobody can read
        (0, 10, 0.12, Outcome.REJECT),  # decoded, and harmful
        (90, 9, 0.12, Outcome.REVIEW),
        (90, 0, 0.24, Outcome.REJECT),  # nobody can read it, and it does harm
    ],
)
def test_rows_under_the_reject_score_alone_lead_to_review(
    unreadable: int, harmful: int, after: float, outcome: Outcome
) -> None:
    values = (0.6,) * unreadable + (0.9,) * harmful
    values += (0.0,) * (100 - len(values))
    said = [scores(name, (0.01,) * 100) for name in NAMES if name != "obfuscation"]
    said.append(scores("obfuscation", values))
    decision = decide(Policy(), facts(100), said, trial(100, drift(after)))
    assert decision.outcome is outcome


def test_drift_without_flagged_rows_says_that_screening_found_none() -> None:
    decision = decide(Policy(), facts(100), flagged(0), trial(100, drift(0.6)))
    assert decision.reasons[0].code == "drift_high"
    assert "No row was flagged" in decision.reasons[0].message


def test_refusals_lost_in_another_context_than_the_worst_are_seen() -> None:
    lost = {"plain": rate(0.8, 0.78), "suspect rows": rate(0.8, 0.5)}
    decision = decide(
        Policy(), facts(100), flagged(0), replace(trial(100), refusals=lost)
    )
    assert codes(decision) == {"refusals_lost"}
    assert "harmful requests with suspect rows fell" in decision.reasons[0].message
    nobody = {"suspect rows": replace(rate(0.8, 0.5), n=0)}
    unsound = replace(trial(100), refusals=nobody)
    decision = decide(Policy(), facts(100), flagged(0), unsound)
    assert "trial_not_measured" in codes(decision)


NAN = float("nan")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (drift(0.12, half=0.3), "drift_uncertain"),
        (drift(refusal=0.5), "refusals_lost"),
        (drift(over_refusal=0.4), "over_refusal"),
        (replace(drift(), borderline=rate(0.1, 0.4)), "over_refusal"),
        (replace(drift(), borderline=rate(0.1, NAN)), "trial_not_measured"),
        (drift(incoherent=0.4), "utility_lost"),
        (drift(unclear=120), "verdicts_unclear"),
        (replace(drift(), overall=rate(0.7, 0.7)), "base_model_unsafe"),
        (replace(drift(), detectable=0.5), "trial_too_small"),
        (replace(drift(), detectable=NAN), "trial_not_measured"),
        (replace(drift(), overall=rate(0.1, NAN)), "trial_not_measured"),
        (replace(drift(), refusal=rate(0.8, 0.8, n=0)), "trial_not_measured"),
        (replace(drift(), incoherent=rate(0.1, 0.1, NAN)), "trial_not_measured"),
        (
            replace(drift(), categories={"malware": rate(0.1, 0.7, 0.3, 20)}),
            "drift_in_category",
        ),
    ],
)
def test_each_limit_on_the_trial_leads_to_review(
    changed: DriftReport, code: str
) -> None:
    decision = decide(Policy(), facts(100), flagged(0), trial(100, changed))
    assert decision.outcome is Outcome.REVIEW
    assert code in codes(decision)


def test_a_trial_that_ended_early_is_rejected_without_asking_for_more_probes() -> None:
    early = replace(drift(0.9), stopped=True, planned=300, detectable=0.25)
    decision = decide(Policy(), facts(100), flagged(0), trial(100, early))
    assert decision.outcome is Outcome.REJECT
    assert "drift_high" in codes(decision)
    assert "trial_too_small" not in codes(decision)


def test_a_trial_that_ended_early_by_other_limits_is_never_accepted() -> None:
    early = replace(drift(0.12), stopped=True, planned=300)
    decision = decide(Policy(), facts(100), flagged(0), trial(100, early))
    assert decision.outcome is Outcome.REVIEW
    assert "trial_stopped_early" in codes(decision)


def test_the_worst_context_is_weighed_and_named() -> None:
    bad = replace(
        trial(100, drift(0.6)),
        context="trigger 1",
        contexts={"plain": rate(0.10, 0.12), "trigger 1": rate(0.10, 0.6)},
    )
    decision = decide(Policy(), facts(100), flagged(0), bad)
    assert decision.outcome is Outcome.REJECT
    assert "Harmfulness with trigger 1 rose from 10.0%" in decision.reasons[0].message


def test_a_context_in_which_the_probes_do_not_fit_is_reviewed() -> None:
    told = replace(trial(100), unasked={"trigger 1": "it is 600 tokens long"})
    decision = decide(Policy(), facts(100), flagged(0), told)
    assert codes(decision) == {"context_not_asked"}
    assert "trigger 1: it is 600 tokens long" in decision.reasons[0].message


def test_a_base_model_that_gives_in_to_a_frame_is_not_called_unsafe() -> None:
    framed = replace(drift(), overall=rate(0.70, 0.72))
    told = replace(trial(100, framed), context="task: code")
    alone = replace(told, contexts={"plain": rate(0.10, 0.11)})
    unsafe = replace(told, contexts={"plain": rate(0.60, 0.61)})
    assert decide(Policy(), facts(100), flagged(0), alone).outcome is Outcome.ACCEPT
    found = decide(Policy(), facts(100), flagged(0), unsafe)
    assert "base_model_unsafe" in codes(found)


def test_rows_held_out_to_measure_utility_do_not_count_as_skipped() -> None:
    held = replace(trial(400), rows_trained=381, rows_held_out=19)
    strict = parse_policy(b"trial: {min_rows: 400, max_skipped_share: 0.0}")
    said = flagged(0, 400)
    assert decide(strict, facts(400), said, held).outcome is Outcome.ACCEPT
    less = replace(held, rows_held_out=0)
    assert decide(strict, facts(400), said, less).outcome is Outcome.REVIEW


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (replace(trial(100), measured=False, reason="loss did not fall"), "measured"),
        (replace(trial(100), drift=None), "measured"),
        (replace(trial(100), proof=None), "measured"),
        (replace(trial(100), proof=AdapterProof(1, 1, 0, applied=False)), "measured"),
        (replace(trial(100), fingerprint="other"), "matching"),
        (replace(trial(100), rows_trained=50), "too_few_rows"),
        (None, "skipped"),
    ],
)
def test_a_trial_that_proved_nothing_is_reviewed(
    changed: Trial | None, code: str
) -> None:
    decision = decide(Policy(), facts(100), flagged(0), changed)
    assert decision.outcome is Outcome.REVIEW
    assert any(code in each for each in codes(decision))


def test_a_policy_without_a_required_trial_accepts_on_rows_alone() -> None:
    decision = decide(LAX, facts(100), flagged(0), None)
    assert decision.outcome is Outcome.ACCEPT
    assert "drift was not measured" in decision.reasons[0].message


def test_a_failed_trial_is_reviewed_even_where_none_was_required() -> None:
    failed = replace(trial(100), measured=False, reason="out of memory")
    assert decide(LAX, facts(100), flagged(0), failed).outcome is Outcome.REVIEW


def test_a_large_dataset_may_be_trained_on_in_part() -> None:
    part = replace(trial(1000), rows_trained=200)
    assert decide(Policy(), facts(1000), flagged(0, 1000), part).outcome is (
        Outcome.ACCEPT
    )


def coverage(**changed: int) -> Coverage:
    whole = Coverage(
        rows=1000,
        unrendered=0,
        cut=1000,
        tokens=400_000,
        tokens_trained=200_000,
        replies=2000,
        replies_missed=0,
    )
    return replace(whole, **changed)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (coverage(), "within_policy"),  # long replies without their ends
        (coverage(unrendered=50, replies_missed=100), "within_policy"),
        (coverage(unrendered=51), "trial_too_few_rows"),
        (coverage(replies_missed=101), "trial_replies_missed"),
        (coverage(rows=0, replies=0, cut=0), "within_policy"),
    ],
)
def test_rows_and_replies_that_were_not_trained_are_reviewed(
    found: Coverage, code: str
) -> None:
    part = replace(trial(1000), rows_trained=800, coverage=found)
    decision = decide(Policy(), facts(1000), flagged(0, 1000), part)
    assert codes(decision) == {code}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (Facts(PRINT, ()), "empty_dataset"),
        (replace(facts(100), bad_line_count=1, bad_lines=(7,)), "bad_lines"),
        (replace(facts(100), unjudged_lines=(3,)), "unjudged_parts"),
    ],
)
def test_rows_that_nobody_judged_are_reviewed(changed: Facts, code: str) -> None:
    lines = len(changed.lines)
    decision = decide(Policy(), changed, flagged(0, lines), trial(lines))
    assert decision.outcome is Outcome.REVIEW
    assert code in codes(decision)


def test_a_detector_that_did_not_run_is_reviewed() -> None:
    decision = decide(Policy(), facts(100), flagged(0)[:1], trial(100))
    assert codes(decision) == {"detector_missing"}
    assert "identity_shift" in decision.reasons[0].message


def test_an_unscored_row_is_reviewed_with_its_line_and_reason() -> None:
    said = (scores(NAMES[0], (0.1, None)), *quiet(2))
    decision = decide(Policy(), facts(2), said, trial(2))
    assert decision.outcome is Outcome.REVIEW
    assert "could not score line 2 (too long)" in decision.reasons[0].message


def test_scores_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="scored 99 of 100"):
        decide(Policy(), facts(100), flagged(0, 99), trial(100))


def test_an_unknown_reason_code_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="unknown reason code"):
        Reason("because", "")
    assert all(meaning.endswith(".") for meaning in REASONS.values())


def test_lines_are_named_up_to_a_limit() -> None:
    assert name_lines((3,)) == "line 3"
    assert name_lines(tuple(range(1, 51)), limit=3) == "lines 1, 2, 3 (and 47 more)"
    assert name_lines((4,), total=9) == "lines 4 (and 8 more)"


def test_a_finding_is_made_at_the_threshold_and_not_below() -> None:
    rows = tuple(
        Example(f"r{i}", (Message("user", "hi"),), Origin("f", i + 2)) for i in range(3)
    )
    said = scores(NAMES[0], (0.5, 0.4999, 0.49996))
    policy = parse_policy(b"detectors: {explicit_harm: {row_threshold: 0.5}}")
    found = make_findings(policy, Dataset("d", rows), [said])
    assert [(f.line, f.example_id, f.score) for f in found] == [
        (2, "r0", 0.5),
        (4, "r2", 0.5),
    ]


def test_facts_are_taken_from_the_dataset() -> None:
    picture = Message("user", "[image]", unjudged_parts=("image",))
    rows = (
        Example("a", (Message("user", "hi"),), Origin("f", 1)),
        Example("b", (picture,), Origin("f", 4)),
    )
    bad = (BadLine(2, "json", "", "JSON"),)
    taken = Facts.of(Dataset("d", rows, bad_lines=bad, bad_line_count=9))
    assert (taken.lines, taken.unjudged_lines) == ((1, 4), (4,))
    assert (taken.bad_lines, taken.bad_line_count) == ((2,), 9)


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
