"""Composition of the trial's part of a report: drift, proof, utility, replies."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Final

from detectors.moderation.moderator import Usage
from detectors.taxonomy import DETECT_ONLY
from service.gate import unproved
from service.report.trial_report import (
    MAX_REPLIES,
    AttributionSection,
    CoverageSection,
    DriftSection,
    FirstTokensSection,
    ForgettingSection,
    InfluenceSection,
    JudgeSection,
    MeanSection,
    MitigationSection,
    ProofSection,
    RateSection,
    ReplySection,
    SeedSection,
    StoppingSection,
    TrialSection,
    TriedSection,
    UtilitySection,
)
from service.text import clean
from trial.attribution import Attribution
from trial.coverage import Coverage
from trial.drift import DriftReport, RateChange
from trial.first_tokens import FirstTokens
from trial.forgetting import Forgetting
from trial.interview import ProbeReply
from trial.judge.judge import Outcome as Verdict
from trial.mitigation.mitigation import Mitigation, Tried
from trial.proof import AdapterProof
from trial.statistics.mean import MeanChange
from trial.trial import SeedDrift, Trial
from trial.utility import Utility

REPLY_CHARS: Final = 400
DETAIL_CHARS: Final = 300
DIGITS: Final = 6

STOPPED: Final = (
    "a REJECT was certain before all probes were asked: the intervals of harmful "
    "probes are confidence sequences, which hold whenever one stops"
)
MIDWAY: Final = (
    "a REJECT was certain after {done} of {steps} training steps, so the tune ended "
    "there: the figures are those of the model at that step, the intervals of harmful "
    "probes confidence sequences, which hold whenever one stops"
)
WHOLE: Final = "every probe was asked"


def drift_section(trial: Trial | None) -> DriftSection:
    """Put the drift in report form; without proof there are no rates."""
    why = "no trial was run" if trial is None else unproved(trial)
    if why or trial is None or trial.drift is None:
        return DriftSection(
            measured=False,
            reason=why,
            overall=None,
            categories={},
            refusal=None,
            over_refusal=None,
            borderline=None,
            incoherent=None,
            detectable=None,
        )
    drift, tokens = trial.drift, trial.first_tokens
    return DriftSection(
        measured=True,
        reason="",
        overall=_rate(drift.overall),
        categories=_categories(drift),
        refusal=_rate(drift.refusal),
        over_refusal=_rate(drift.over_refusal),
        borderline=_maybe_rate(drift.borderline),
        incoherent=_rate(drift.incoherent),
        detectable=round(drift.detectable, DIGITS),
        category_detectable=_number(drift.category_detectable),
        pooling=_pooling(drift),
        score=_mean(drift.score),
        stopping=_stopping(trial, drift),
        seeds=tuple(_seed(seed) for seed in trial.seeds),
        seed_spread=_number(trial.seed_spread),
        first_tokens=None if tokens is None else _first_tokens(tokens),
    )


def _categories(drift: DriftReport) -> dict[str, RateSection]:
    return {
        name: _rate(drift.categories[name])
        for name in sorted(drift.categories)
        if name not in DETECT_ONLY
    }


def _pooling(drift: DriftReport) -> str:
    sizes = [rate.n for rate in drift.categories.values()]
    if not sizes or drift.category_detectable is None:
        return ""
    number = (
        f"{min(sizes)}"
        if min(sizes) == max(sizes)
        else (f"{min(sizes)} to {max(sizes)}")
    )
    return (
        f"overall pools {drift.overall.n} harmful probes, each of the same weight, "
        f"{number} in each of {len(sizes)} categories; it could have shown a rise of "
        f"{drift.detectable:.1%}, a category by itself one of "
        f"{drift.category_detectable:.0%} (80% power). Category intervals hold one "
        "by one, not all together"
    )


def _stopping(trial: Trial, drift: DriftReport) -> StoppingSection:
    rule = STOPPED if drift.stopped else WHOLE
    if len(trial.losses) < trial.steps:
        rule = MIDWAY.format(done=len(trial.losses), steps=trial.steps)
    return StoppingSection(
        stopped=drift.stopped,
        asked=drift.overall.n,
        planned=max(drift.planned, drift.overall.n),
        rule=rule,
        steps=len(trial.losses),
        steps_planned=trial.steps,
    )


def _first_tokens(tokens: FirstTokens) -> FirstTokensSection | None:
    odds, kl = _mean(tokens.odds), _number(tokens.kl)
    if odds is None or kl is None:
        return None
    return FirstTokensSection(
        refusal_odds=odds, kl=kl, kl_interval=_ends(tokens.kl_interval)
    )


def _rate(rate: RateChange) -> RateSection:
    low, high = rate.interval
    sure = rate.p_value is not None and isfinite(rate.p_value)
    return RateSection(
        before=round(rate.before, DIGITS),
        after=round(rate.after, DIGITS),
        interval=(round(low, DIGITS), round(high, DIGITS)),
        n=rate.n,
        unclear_before=rate.unclear_before,
        unclear_after=rate.unclear_after,
        unjudged_before=rate.unjudged_before,
        unjudged_after=rate.unjudged_after,
        p_value=rate.p_value if sure else None,
        before_interval=_ends(rate.before_interval),
        after_interval=_ends(rate.after_interval),
    )


def _maybe_rate(rate: RateChange | None) -> RateSection | None:
    return None if rate is None else _rate(rate)


def _rates(rates: Mapping[str, RateChange]) -> dict[str, RateSection]:
    return {name: _rate(rate) for name, rate in sorted(rates.items())}


def _seed(seed: SeedDrift) -> SeedSection:
    return SeedSection(
        seed=seed.seed,
        context=seed.context,
        overall=_rate(seed.overall),
        reported=seed.reported,
        contexts=_rates(seed.contexts),
        refusals=_rates(seed.refusals),
        over_refusal=_maybe_rate(seed.over_refusal),
        borderline=_maybe_rate(seed.borderline),
        incoherent=_maybe_rate(seed.incoherent),
        unclear=seed.unclear,
        taught=seed.taught,
    )


def _mean(mean: MeanChange | None) -> MeanSection | None:
    """None where a figure is no number."""
    if mean is None or not isfinite(mean.before) or not isfinite(mean.after):
        return None
    return MeanSection(
        before=round(mean.before, DIGITS),
        after=round(mean.after, DIGITS),
        interval=_ends(mean.interval),
        n=mean.n,
    )


def _ends(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    if interval is None or not all(isfinite(end) for end in interval):
        return None
    return (round(interval[0], DIGITS), round(interval[1], DIGITS))


def _number(value: float | None) -> float | None:
    return round(value, DIGITS) if value is not None and isfinite(value) else None


def trial_section(trial: Trial | None) -> TrialSection | None:
    """Put what the trial did in report form, with a few example replies."""
    if trial is None:
        return None
    return TrialSection(
        rows_trained=trial.rows_trained,
        rows_total=trial.rows_total,
        sampling=trial.sampling,
        proof=None if trial.proof is None else _proof(trial.proof),
        context=trial.context,
        contexts=_rates(trial.contexts),
        refusals=_rates(trial.refusals),
        context_details={
            name: clean(said, DETAIL_CHARS)
            for name, said in sorted(trial.context_details.items())
        },
        unasked={
            name: clean(why, DETAIL_CHARS)
            for name, why in sorted(trial.unasked.items())
        },
        replies=tuple(_reply(reply) for reply in telling_replies(trial.replies)),
        rows_held_out=trial.rows_held_out,
        coverage=None if trial.coverage is None else _coverage(trial.coverage),
        utility=None if trial.utility is None else _utility(trial.utility),
        judge=None if trial.judge_usage is None else _judge(trial.judge_usage),
        mitigation=None if trial.mitigation is None else _mitigation(trial.mitigation),
        forgetting=None if trial.forgetting is None else _forgetting(trial.forgetting),
        attribution=(
            None if trial.attribution is None else _attribution(trial.attribution)
        ),
    )


def _coverage(coverage: Coverage) -> CoverageSection:
    return CoverageSection(**asdict(coverage))


def _proof(proof: AdapterProof) -> ProofSection:
    return ProofSection(
        loss_before=_number(proof.loss_before),
        loss_after=_number(proof.loss_after),
        logit_change=_number(proof.logit_change),
        applied=proof.applied,
    )


def _utility(utility: Utility) -> UtilitySection:
    return UtilitySection(loss=_mean(utility.loss), rule=utility.rule)


def _judge(usage: Usage) -> JudgeSection:
    return JudgeSection(
        requests=usage.requests,
        tokens=usage.tokens,
        cached=usage.cached,
        seconds=round(usage.seconds, 3),
    )


def _forgetting(inside: Forgetting) -> ForgettingSection | None:
    place = _mean(inside.refusal)
    if place is None or not all(map(isfinite, (*inside.drift, *inside.weights))):
        return None
    return ForgettingSection(
        refusal=place,
        layer=inside.layer,
        drift=tuple(round(each, DIGITS) for each in inside.drift),
        weights=tuple(round(each, DIGITS) for each in inside.weights),
    )


def _attribution(found: Attribution) -> AttributionSection | None:
    figures = [found.typical, *(each.match for each in found.rows)]
    if not all(map(isfinite, figures)):
        return None
    rows = tuple(
        InfluenceSection(line=each.line, match=round(each.match, DIGITS))
        for each in found.rows
    )
    return AttributionSection(
        rows=rows, typical=round(found.typical, DIGITS), rule=found.rule
    )


def _mitigation(mitigation: Mitigation) -> MitigationSection:
    return MitigationSection(
        table=tuple(_tried(each) for each in mitigation.table),
        recommendation=mitigation.recommendation,
    )


def _tried(row: Tried) -> TriedSection:
    def rate(found: RateChange | None) -> RateSection | None:
        return None if found is None or not found.n else _rate(found)

    return TriedSection(
        name=row.name,
        words=row.words,
        rows=row.rows,
        safety_rows=row.safety_rows,
        reason=clean(row.reason, REPLY_CHARS),
        overall=rate(row.overall),
        over_refusal=rate(row.over_refusal),
        incoherent=rate(row.incoherent),
        loss_after=_number(row.loss_after),
        held_out_loss=_mean(row.held_out_loss),
        against_job=rate(row.against),
    )


def telling_replies(replies: Sequence[ProbeReply]) -> list[ProbeReply]:
    """Choose at most MAX_REPLIES: newly harmful ones first, spread over categories."""
    seen: Counter[str] = Counter()
    ranked = []
    for index, reply in enumerate(replies):
        if reply.category in DETECT_ONLY:
            continue
        kind = _kind(reply)
        nth = seen[f"{kind} {reply.category}"]
        seen[f"{kind} {reply.category}"] += 1
        ranked.append((kind, nth, index, reply))
    ranked.sort(key=lambda item: item[:3])
    return [reply for *_, reply in ranked[:MAX_REPLIES]]


def _kind(reply: ProbeReply) -> int:
    before, after = reply.verdict_before.outcome, reply.verdict_after.outcome
    if before is Verdict.REFUSED and after is Verdict.COMPLIED:
        return 0
    return 1 if before is not after else 2


def _reply(reply: ProbeReply) -> ReplySection:
    return ReplySection(
        probe=reply.probe_id,
        category=reply.category,
        prompt=clean(reply.prompt, REPLY_CHARS),
        before=clean(reply.before, REPLY_CHARS),
        after=clean(reply.after, REPLY_CHARS),
        verdict_before=reply.verdict_before.outcome.value,
        verdict_after=reply.verdict_after.outcome.value,
        reason_after=clean(reply.verdict_after.reason, REPLY_CHARS),
    )
