"""Composition: dataset, scores, findings, trial and decision become a Report."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from typing import Final

from detectors.dataset import Dataset
from detectors.detector import Evidence, Scores
from detectors.taxonomy import DETECT_ONLY
from service.finding import Finding, settle
from service.gate import Decision, unproved
from service.policy import Policy
from service.report import (
    MAX_FINDINGS,
    MAX_REPLIES,
    MAX_TOP_ROWS,
    MAX_UNSCORED_SHOWN,
    BadLineSection,
    DatasetSection,
    DecisionSection,
    DetectorSection,
    DriftSection,
    EvidenceSection,
    FindingSection,
    PolicySection,
    ProofSection,
    RateSection,
    ReasonSection,
    ReplySection,
    TopRowSection,
    TrialSection,
    TriggerSection,
    UnscoredSection,
)
from service.text import clean
from trial.drift import RateChange
from trial.judge.judge import Outcome as Verdict
from trial.run import AdapterProof, ProbeReply, Trial

PACKAGES: Final = (
    "tunegate",
    "numpy",
    "peft",
    "scikit-learn",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
)
WITHHELD: Final = "withheld: text of this category is never shown"
REPLY_CHARS: Final = 400
RATE_DIGITS: Final = 6


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of every package a score depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def decision_section(decision: Decision) -> DecisionSection:
    """Put the decision in report form."""
    return DecisionSection(
        outcome=decision.outcome.value,
        reasons=tuple(
            ReasonSection(
                code=reason.code, message=reason.message, outcome=reason.outcome.value
            )
            for reason in decision.reasons
        ),
    )


def dataset_section(dataset: Dataset) -> DatasetSection:
    """Put the dataset's facts in report form, without its rows."""
    shapes = Counter(example.shape for example in dataset)
    return DatasetSection(
        name=dataset.name,
        sha256=dataset.sha256,
        fingerprint=dataset.fingerprint,
        rows=len(dataset),
        size_bytes=dataset.size_bytes,
        shapes=dict(sorted(shapes.items())),
        bad_line_count=max(dataset.bad_line_count, len(dataset.bad_lines)),
        bad_lines=tuple(BadLineSection(**asdict(bad)) for bad in dataset.bad_lines),
        unjudged_parts=sum(example.unjudged_parts for example in dataset),
    )


def detector_section(
    policy: Policy, dataset: Dataset, scores: Scores
) -> DetectorSection:
    """Summarise one detector's scores."""
    threshold = policy.rows(scores.detector).row_threshold
    values = [v for v in map(settle, scores.values) if v is not None]
    flagged = sum(value >= threshold for value in values)
    steps = Counter(min(int(value * 10), 9) for value in values)
    missed = [
        UnscoredSection(line=example.origin.line, reason=why)
        for example, why in zip(dataset, scores.unscored, strict=True)
        if why
    ]
    return DetectorSection(
        version=scores.version,
        threshold=threshold,
        flagged=flagged,
        flagged_share=round(flagged / max(len(scores), 1), RATE_DIGITS),
        unscored=sum(value is None for value in scores.values),
        unscored_rows=tuple(missed[:MAX_UNSCORED_SHOWN]),
        histogram=tuple(steps[step] for step in range(10)),
        triggers=tuple(TriggerSection(**asdict(found)) for found in scores.triggers),
        risk=scores.risk,
        top_rows=_top_rows(dataset, scores),
    )


def _top_rows(dataset: Dataset, scores: Scores) -> tuple[TopRowSection, ...]:
    """Name the rows behind a risk, the highest first; none where there is no risk."""
    if not scores.risk:
        return ()
    rated = [
        (-value, example.origin.line)
        for value, example in zip(map(settle, scores.values), dataset, strict=True)
        if value
    ]
    top = sorted(rated)[:MAX_TOP_ROWS]
    return tuple(TopRowSection(line=line, score=-value) for value, line in top)


def finding_sections(findings: Sequence[Finding]) -> tuple[FindingSection, ...]:
    """Put findings in report form: the highest MAX_FINDINGS, in their order."""
    order = sorted(range(len(findings)), key=lambda i: (-findings[i].score, i))
    kept = sorted(order[:MAX_FINDINGS])
    return tuple(_finding(findings[index]) for index in kept)


def _finding(finding: Finding) -> FindingSection:
    return FindingSection(
        line=finding.line,
        example=finding.example_id,
        detector=finding.detector,
        category=finding.category,
        score=finding.score,
        threshold=finding.threshold,
        evidence=_evidence(finding.evidence, finding.category),
    )


def _evidence(evidence: Evidence | None, category: str) -> EvidenceSection | None:
    if evidence is None:
        return None
    shown = category not in DETECT_ONLY
    return EvidenceSection(
        kind=evidence.kind,
        detail=evidence.detail if shown else WITHHELD,
        turn=evidence.turn,
        span=evidence.span,
        excerpt=evidence.excerpt if shown else "",
    )


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
    drift = trial.drift
    return DriftSection(
        measured=True,
        reason="",
        overall=_rate(drift.overall),
        categories={
            name: _rate(drift.categories[name])
            for name in sorted(drift.categories)
            if name not in DETECT_ONLY
        },
        refusal=_rate(drift.refusal),
        over_refusal=_rate(drift.over_refusal),
        borderline=None if drift.borderline is None else _rate(drift.borderline),
        incoherent=_rate(drift.incoherent),
        detectable=round(drift.detectable, RATE_DIGITS),
    )


def _rate(rate: RateChange) -> RateSection:
    low, high = rate.interval
    sure = rate.p_value is not None and isfinite(rate.p_value)
    return RateSection(
        before=round(rate.before, RATE_DIGITS),
        after=round(rate.after, RATE_DIGITS),
        interval=(round(low, RATE_DIGITS), round(high, RATE_DIGITS)),
        n=rate.n,
        unclear_before=rate.unclear_before,
        unclear_after=rate.unclear_after,
        p_value=rate.p_value if sure else None,
    )


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
        contexts={name: _rate(rate) for name, rate in sorted(trial.contexts.items())},
        replies=tuple(_reply(reply) for reply in telling_replies(trial.replies)),
    )


def _proof(proof: AdapterProof) -> ProofSection:
    return ProofSection(
        loss_before=_number(proof.loss_before),
        loss_after=_number(proof.loss_after),
        logit_change=_number(proof.logit_change),
        applied=proof.applied,
    )


def _number(value: float) -> float | None:
    return round(value, RATE_DIGITS) if isfinite(value) else None


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


def policy_section(policy: Policy) -> PolicySection:
    """Put the whole policy in report form."""
    return PolicySection(
        name=policy.name, digest=policy.digest, content=policy.model_dump()
    )


def version_section(
    encoder: tuple[str, str], scores: Sequence[Scores], trial: Trial | None
) -> dict[str, str]:
    """Return the versions and digests of all that spoke, by a stable key."""
    said: Mapping[str, str] = {} if trial is None else trial.versions
    found = package_versions()
    found[f"encoder.{encoder[0]}"] = encoder[1]
    found |= {f"detector.{each.detector}": each.version for each in scores}
    found |= {f"trial.{name}": text for name, text in said.items()}
    return dict(sorted(found.items()))
