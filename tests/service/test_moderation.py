"""Which rows are moderated, and what the words of a provider lead to."""

from typing import Any

import pytest

from detectors.dataset import Dataset, Example, Message, Origin
from detectors.detector import Scores
from detectors.errors import PolicyError
from detectors.moderation.moderator import Usage, Verdict
from detectors.moderation.rows import RowVerdict
from service.gate import Facts, Outcome, decide
from service.moderation import Moderated, choose_rows, moderation_findings
from service.policy import ModerationLimits, Policy, parse_policy
from service.report.composition import finding_sections
from service.screening import row_priority
from service.settings import Settings


def limits(**given: Any) -> ModerationLimits:
    return ModerationLimits(**{"rows": "all", **given})


def scores(name: str, *values: float | None) -> Scores:
    n = len(values)
    why = tuple("odd" if v is None else "" for v in values)
    return Scores(name, "1", values, (None,) * n, ("",) * n, why)


def moderated(*rows: bool | str | None, provider: str = "openai") -> Moderated:
    """True: flagged; False: not; a text: why not moderated; None: not asked."""

    def one(row: bool | str | None) -> RowVerdict | None:
        if row is None:
            return None
        if isinstance(row, str):
            return RowVerdict(None, row)
        return RowVerdict(
            Verdict(row, 0.6 if row else 0.1, "malware", "illicit"), turn=1
        )

    return Moderated(provider, "m", tuple(map(one, rows)), Usage(requests=1))


def decision(said: Moderated | None, count: int, /, **given: Any) -> Any:
    policy = parse_policy(b"trial: {required: false}").model_copy(
        update={"moderation": limits(**given)}
    )
    facts = Facts("f" * 64, tuple(range(1, count + 1)))
    names = type(policy.detectors).model_fields
    clean = [scores(name, *[0.01] * count) for name in names]
    return decide(policy, facts, clean, None, said)


def codes(found: Any) -> list[str]:
    return [reason.code for reason in found.reasons]


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ("none", (False,) * 5),
        ("all", (True,) * 5),
        ("uncertain", (False, True, True, False, True)),
    ],
)
def test_the_policy_says_which_rows_go_out(rows: str, chosen: tuple[bool, ...]) -> None:
    said = [
        scores("a", 0.1, 0.2, 0.0, 0.95, 0.1),
        scores("b", 0.0, 0.1, 0.9, 0.5, None),
    ]
    assert choose_rows(limits(rows=rows, low=0.2, high=0.9), said, 5) == chosen


def test_without_any_detector_every_row_is_uncertain() -> None:
    assert choose_rows(limits(rows="uncertain"), [], 2) == (True, True)


def test_nothing_is_required_by_default_and_nothing_goes_out() -> None:
    assert Policy().moderation.rows == "none"
    assert not Policy().moderation.required
    assert Settings().moderation_provider == "off"
    assert decision(None, 3, rows="none").outcome is Outcome.ACCEPT


@pytest.mark.parametrize("said", [None, moderated("x", "x", "x", provider="off")])
def test_required_moderation_that_was_not_run_is_reviewed(said: Any) -> None:
    found = decision(said, 3, required=True)
    assert (found.outcome, codes(found)) == (Outcome.REVIEW, ["moderation_missing"])


def test_required_moderation_without_a_provider_is_reviewed_even_of_no_rows() -> None:
    nobody = moderated(None, None, provider="off")
    assert codes(decision(nobody, 2, rows="uncertain", required=True)) == [
        "moderation_missing"
    ]
    somebody = moderated(None, None)
    found = decision(somebody, 2, rows="uncertain", required=True)
    assert found.outcome is Outcome.ACCEPT


def test_rows_without_a_verdict_are_reviewed_named_and_counted_by_reason() -> None:
    said = moderated(False, "timed out", "timed out", "over budget", False)
    found = decision(said, 5, required=True)
    assert (found.outcome, codes(found)) == (Outcome.REVIEW, ["not_moderated"])
    words = found.reasons[0].message
    assert "3 rows of 5" in words
    assert "timed out: 2; over budget: 1" in words
    assert "lines 2, 3, 4" in words


def test_a_share_without_a_verdict_may_be_allowed_but_never_all() -> None:
    said = moderated(False, "timed out", None, None)
    assert decision(said, 4, required=True, max_missed=0.5).outcome is Outcome.ACCEPT
    assert decision(said, 4, required=True, max_missed=0.49).outcome is Outcome.REVIEW
    down = moderated("down", "down")
    assert decision(down, 2, required=True, max_missed=0.99).outcome is Outcome.REVIEW


def test_what_is_not_required_is_still_said() -> None:
    found = decision(moderated(False, "timed out"), 2)
    assert found.outcome is Outcome.ACCEPT
    assert "1 row not moderated" in found.reasons[0].message


@pytest.mark.parametrize(
    ("flagged", "rows", "outcome", "code"),
    [
        (1, 100, Outcome.REVIEW, "moderation_flagged"),
        (1, 1000, Outcome.ACCEPT, "within_policy"),
        (10, 100, Outcome.REJECT, "moderation_flagged_many"),
        (4, 10, Outcome.REVIEW, "moderation_flagged"),
    ],
)
def test_flagged_rows_lead_to_an_outcome_as_those_of_detectors_do(
    flagged: int, rows: int, outcome: Outcome, code: str
) -> None:
    said = moderated(*[True] * flagged, *[False] * (rows - flagged))
    found = decision(said, rows)
    assert (found.outcome, codes(found)) == (outcome, [code])


def test_a_row_the_provider_is_sure_of_is_reviewed_in_a_file_of_any_size() -> None:
    def found(score: float, **given: Any) -> Any:
        row = RowVerdict(Verdict(True, score, "malware", "illicit"), turn=1)
        quiet = moderated(*[False] * 999).rows
        said = Moderated("openai", "m", (*quiet, row))
        return decision(said, 1000, **given)

    assert codes(found(0.9)) == ["moderation_flagged"]
    assert "line 1000" in found(0.9).reasons[0].message
    assert found(0.89).outcome is Outcome.ACCEPT
    assert found(0.95, sure_score=0.96).outcome is Outcome.ACCEPT


def test_an_accept_names_the_flagged_rows_that_stayed_under_the_limits() -> None:
    said = moderated(*[False] * 6, True, *[False] * 993)
    (reason,) = decision(said, 1000).reasons
    assert reason.code == "within_policy"
    assert "1 row flagged" in reason.message
    assert "line 7" in reason.message
    (reason,) = decision(moderated(*[False] * 10), 10).reasons
    assert "flagged" not in reason.message


def test_a_score_at_the_policys_threshold_flags_too() -> None:
    said = moderated(False, True)
    assert said.flagged(limits()) == (1,)
    assert said.flagged(limits(row_threshold=0.1)) == (0, 1)


def test_moderation_of_other_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 rows"):
        decision(moderated(False), 2)


def example(line: int) -> Example:
    said = (Message("user", "asked"), Message("assistant", "x" * 500))
    return Example(f"r{line}", said, Origin("f", line))


def test_a_flagged_row_becomes_a_finding_that_names_its_source() -> None:
    data = Dataset("d", (example(3), example(7)))
    (found,) = moderation_findings(limits(), data, moderated(False, True))
    assert (found.line, found.detector) == (7, "moderation.openai")
    assert (found.score, found.threshold, found.category) == (0.6, 0.6, "malware")
    assert found.evidence is not None
    assert found.evidence.kind == "moderation"
    assert found.evidence.detail == "openai m: illicit"
    assert len(found.evidence.excerpt) == 240


def test_text_of_child_abuse_is_withheld_here_as_well() -> None:
    data = Dataset("d", (example(1),))
    verdict = Verdict(True, 0.9, "child_abuse", "sexual/minors")
    said = Moderated("openai", "m", (RowVerdict(verdict, turn=1),))
    found = moderation_findings(limits(), data, said)
    assert found[0].evidence is not None
    assert found[0].evidence.excerpt == ""
    shown = finding_sections(found)[0].evidence
    assert shown is not None
    assert "withheld" in shown.detail


def test_flagged_rows_are_trained_on_early() -> None:
    said = [scores("a", 0.3, 0.1, None)]
    assert row_priority(said, 3, flagged=(1, 2)) == [0.3, 1.0, 2.0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"moderation: {required: true}", "required needs rows"),
        (b"moderation: {rows: some}", "moderation.rows"),
        (b"moderation: {low: 0.9, high: 0.1}", "low must not exceed high"),
        (
            b"moderation: {rows: all, required: true, max_missed: 1.0}",
            "max_missed must be below 1",
        ),
        (b"moderation: {review_rows: 9}", "review_rows must not exceed"),
        (b"moderation: {review_share: 0.5}", "review_share must not exceed"),
    ],
)
def test_a_policy_on_moderation_that_is_unsound_is_named(
    content: bytes, said: str
) -> None:
    with pytest.raises(PolicyError, match=said):
        parse_policy(content)
