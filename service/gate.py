"""The gate: decide() is pure and the only place where a decision is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from detectors.dataset import Dataset
from detectors.detector import Scores
from service.drift_gate import drift_reasons, put_rate, where_measured
from service.finding import Finding, make_findings, name_lines, settle
from service.moderation import Moderated
from service.moderation_gate import moderation_reasons
from service.policy import Policy, RowLimits, load_policy, parse_policy
from service.reason import REASONS, Outcome, Reason, count_rows
from trial.drift import RateChange
from trial.trial import Trial

__all__ = [
    "REASONS",
    "Decision",
    "Facts",
    "Finding",
    "Outcome",
    "Policy",
    "Reason",
    "decide",
    "load_policy",
    "make_findings",
    "parse_policy",
    "settle",
    "unproved",
]


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome and its reasons, the gravest first; never without a reason."""

    outcome: Outcome
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the gate must know of a dataset beside its scores.

    `lines` holds the line of every readable row, `unjudged_lines` those with image,
    audio or other parts; `bad_lines` is bounded, `bad_line_count` is not.
    """

    fingerprint: str
    lines: tuple[int, ...]
    bad_lines: tuple[int, ...] = ()
    bad_line_count: int = 0
    unjudged_lines: tuple[int, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset) -> "Facts":
        """Take the facts from a dataset."""
        return cls(
            fingerprint=dataset.fingerprint,
            lines=tuple(e.origin.line for e in dataset),
            bad_lines=tuple(b.line for b in dataset.bad_lines),
            bad_line_count=max(dataset.bad_line_count, len(dataset.bad_lines)),
            unjudged_lines=tuple(e.origin.line for e in dataset if e.unjudged_parts),
        )


def decide(
    policy: Policy,
    facts: Facts,
    scores: Sequence[Scores],
    trial: Trial | None,
    moderated: Moderated | None = None,
    *,
    everywhere: bool = True,
) -> Decision:
    """Decide. Pure: the same arguments give the same Decision, and nothing is read.

    `trial` and `moderated` are None where neither was run; `everywhere` says whether
    the trial was asked in all contexts. Whatever was not read, not scored, not measured
    or not moderated although the policy requires it becomes a REVIEW reason, so ACCEPT
    means that all of it was.
    """
    for said in scores:
        if len(said) != len(facts.lines):
            raise ValueError(
                f"{said.detector} scored {len(said)} of {len(facts.lines)} rows"
            )
    drifted = _drifted(policy, trial)
    reasons = [
        *_data_reasons(facts),
        *_detector_reasons(policy, facts, scores, drifted=drifted),
        *moderation_reasons(policy.moderation, facts.lines, moderated, drifted=drifted),
        *_trial_reasons(policy, facts, trial, everywhere=everywhere),
    ]
    if trial is not None and trial.measured and trial.drift is not None:
        flagged = bool(_all_flagged(policy, facts, scores, moderated))
        reasons += drift_reasons(policy.drift, trial, flagged=flagged)
    if not reasons:
        flags = _all_flagged(policy, facts, scores, moderated)
        return Decision(Outcome.ACCEPT, (_accepted(facts, trial, moderated, flags),))
    reasons.sort(key=lambda reason: -reason.outcome.severity)
    return Decision(reasons[0].outcome, tuple(reasons))


def flagged_lines(
    policy: Policy, facts: Facts, scores: Scores
) -> tuple[tuple[int, ...], RowLimits]:
    """Return the lines that one detector flags, and the limits applied."""
    limits = policy.rows(scores.detector)
    settled = zip(facts.lines, map(settle, scores.values), strict=True)
    lines = tuple(
        line
        for line, value in settled
        if value is not None and value >= limits.row_threshold
    )
    return lines, limits


def _all_flagged(
    policy: Policy,
    facts: Facts,
    scores: Sequence[Scores],
    moderated: Moderated | None,
) -> list[int]:
    """Return the lines that any detector or moderation flags."""
    found = {line for said in scores for line in flagged_lines(policy, facts, said)[0]}
    flagged = moderated.flagged(policy.moderation) if moderated else ()
    return sorted(found | {facts.lines[index] for index in flagged})


def _data_reasons(facts: Facts) -> list[Reason]:
    reasons = []
    if not facts.lines:
        said = "The dataset has no readable row. Upload a file with training rows."
        reasons.append(Reason("empty_dataset", said))
    if facts.bad_line_count:
        where = name_lines(facts.bad_lines, facts.bad_line_count)
        said = f"{count_rows(facts.bad_line_count)} could not be read. Correct {where}."
        reasons.append(Reason("bad_lines", said))
    if facts.unjudged_lines:
        where = name_lines(facts.unjudged_lines)
        said = f"Images, audio or other parts were not judged: look at {where}."
        reasons.append(Reason("unjudged_parts", said))
    return reasons


def _detector_reasons(
    policy: Policy, facts: Facts, scores: Sequence[Scores], *, drifted: bool
) -> list[Reason]:
    reasons = []
    spoke = {said.detector for said in scores}
    for name in type(policy.detectors).model_fields:
        if name not in spoke:
            said = f"The detector {name} did not run: screen again with it installed."
            reasons.append(Reason("detector_missing", said))
    for each in scores:
        pairs = zip(facts.lines, each.values, strict=True)
        missed = [line for line, value in pairs if value is None]
        if missed:
            why = next(reason for reason in each.unscored if reason)
            where = name_lines(missed)
            said = f"{each.detector} could not score {where} ({why[:200]}): check them."
            reasons.append(Reason("rows_unscored", said))
        reasons += _flag_reasons(policy, facts, each, drifted=drifted)
    return reasons


def _flag_reasons(
    policy: Policy, facts: Facts, scores: Scores, *, drifted: bool
) -> list[Reason]:
    lines, limits = flagged_lines(policy, facts, scores)
    if not lines:
        return []
    number, part = len(lines), len(lines) / len(facts.lines)
    said = (
        f"{scores.detector} flagged {count_rows(number)} ({part:.1%} of all). "
        f"Remove or review {name_lines(lines)}."
    )
    values = [value for value in map(settle, scores.values) if value is not None]
    grave = sum(v >= max(limits.row_threshold, limits.reject_score) for v in values)
    grave_part = grave / len(facts.lines)
    if grave >= limits.reject_rows and grave_part >= limits.reject_share:
        return [Reason("rows_flagged_many", said, Outcome.REJECT)]
    if drifted and number >= limits.agree_rows and part >= limits.agree_share:
        said += " The trial shows harmful drift too."
        return [Reason("rows_and_drift_agree", said, Outcome.REJECT)]
    enough = number >= limits.review_rows and part >= limits.review_share
    sure = max(values) >= limits.sure_score
    return [Reason("rows_flagged", said)] if enough or sure else []


def _drifted(policy: Policy, trial: Trial | None) -> bool:
    if trial is None or not trial.measured or trial.drift is None:
        return False
    overall = trial.drift.overall
    certain = overall.interval[0] > 0.0
    return certain and overall.change >= policy.drift.review_change


def _trial_reasons(
    policy: Policy, facts: Facts, trial: Trial | None, *, everywhere: bool
) -> list[Reason]:
    if trial is None:
        if not policy.trial.required:
            return []
        said = "Drift was not measured: no trial was run. Screen again with the trial."
        return [Reason("trial_skipped", said)]
    if trial.fingerprint != facts.fingerprint:
        said = "The trial was run on other data than was screened: run it again."
        return [Reason("trial_not_matching", said)]
    why = unproved(trial)
    if why:
        said = f"Drift was not measured: {why}. Act on that and screen again."
        return [Reason("trial_not_measured", said)]
    reasons = _coverage_reasons(policy, facts, trial)
    if policy.trial.all_contexts and not everywhere:
        said = "The trial was not asked in all contexts: screen again."
        reasons.append(Reason("trial_not_measured", said))
    return reasons


def unproved(trial: Trial) -> str:
    """Say why the trial proves nothing; "" where its figures can be used."""
    if not trial.measured:
        return trial.reason.rstrip(".") or "the trial gives no reason"
    if trial.drift is None:
        return "the trial brought no drift figures"
    if trial.proof is None or not trial.proof.applied:
        return "there is no proof that the adapter was applied"
    drift = trial.drift
    rates = [drift.overall, drift.refusal, drift.over_refusal, drift.incoherent]
    rates += [*drift.categories.values()]
    rates += [] if drift.borderline is None else [drift.borderline]
    rates += trial.refusals.values()
    rates += [rate for seed in trial.seeds for rate in seed.rates]
    if not all(_sound(rate) for rate in rates):
        return "some rates are not numbers or rest on no prompt at all"
    return "" if isfinite(drift.detectable) else "its resolving power is not a number"


def _sound(rate: RateChange) -> bool:
    shares = (rate.before, rate.after)
    return (
        rate.n > 0
        and all(0.0 <= share <= 1.0 for share in shares)
        and all(isfinite(end) for end in rate.interval)
    )


def _coverage_reasons(policy: Policy, facts: Facts, trial: Trial) -> list[Reason]:
    few = _too_few_rows(policy, facts, trial) or _unrendered(policy, trial)
    return [r for r in (few, _missed_replies(policy, trial)) if r is not None]


def _too_few_rows(policy: Policy, facts: Facts, trial: Trial) -> Reason | None:
    owed = min(len(facts.lines), policy.trial.min_rows)
    owed = max(1, round(owed * (1.0 - policy.trial.max_skipped_share)))
    if trial.rows_trained + trial.rows_held_out >= owed:
        return None
    said = (
        f"The trial trained on {trial.rows_trained} of {len(facts.lines)} rows where "
        f"the policy asks for {owed}: raise the row budget or max_tokens."
    )
    return Reason("trial_too_few_rows", said)


def _unrendered(policy: Policy, trial: Trial) -> Reason | None:
    found = trial.coverage
    if found is None or found.unrendered <= policy.trial.max_skipped_share * found.rows:
        return None
    said = (
        f"The chat template could not render {found.unrendered} of {found.rows} rows "
        "that were to be trained on: correct the template, or those rows."
    )
    return Reason("trial_too_few_rows", said)


def _missed_replies(policy: Policy, trial: Trial) -> Reason | None:
    """Where a reply begins it does most to a model: its end alone may be left out."""
    found = trial.coverage
    if found is None:
        return None
    missed, replies = found.replies_missed, found.replies
    if missed <= policy.trial.max_skipped_share * replies:
        return None
    said = (
        f"Of {replies} replies the trial left out {missed}, or all but their ends: the "
        "rows are long, raise max_tokens or the row budget."
    )
    return Reason("trial_replies_missed", said)


def _accepted(
    facts: Facts,
    trial: Trial | None,
    moderated: Moderated | None,
    flagged: Sequence[int],
) -> Reason:
    said = f"{count_rows(len(facts.lines))} read and scored, no limit reached; "
    if trial is None or trial.drift is None:
        said += "drift was not measured, and the policy does not require it."
    else:
        changed = put_rate(trial.drift.overall)
        said += f"harmfulness{where_measured(trial)} changed {changed}."
    if flagged:
        number, where = count_rows(len(flagged)), name_lines(flagged)
        said += f" {number} flagged, too few or too doubtful for the limits: {where}."
    missed = moderated.missed if moderated else ()
    if missed:
        said += f" {count_rows(len(missed))} not moderated, which it does not require."
    return Reason("within_policy", said, Outcome.ACCEPT)
