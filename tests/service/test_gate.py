"""Rows flagged, unread or unscored lead to the outcome that the policy says."""

from dataclasses import replace

import pytest

from detectors.dataset import BadLine, Dataset, Example, Message, Origin
from service.finding import make_findings, name_lines
from service.gate import REASONS, Facts, Outcome, Reason, decide
from service.policy import Policy, parse_policy
from tests.service.gate_inputs import (
    NAMES,
    PRINT,
    codes,
    drift,
    facts,
    flagged,
    quiet,
    scores,
    trial,
)


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
        (9, 300, 0.24, Outcome.REVIEW),  # of a strict source 3% are false alarms
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
