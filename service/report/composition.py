"""Composition: dataset, scores, findings, trial and decision become a Report."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from detectors.dataset import Dataset
from detectors.detector import Evidence, Scores
from detectors.taxonomy import DETECT_ONLY
from service.finding import Finding, settle
from service.gate import Decision
from service.policy import Policy
from service.report.report import (
    MAX_FINDINGS,
    MAX_TOP_ROWS,
    MAX_UNSCORED_SHOWN,
    BadLineSection,
    DatasetSection,
    DecisionSection,
    DetectorSection,
    EvidenceSection,
    FindingSection,
    PolicySection,
    ReasonSection,
    TopRowSection,
    TriggerSection,
    UnscoredSection,
)
from trial.trial import Trial

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
    hidden = {each.line for each in findings if each.category in DETECT_ONLY}
    return tuple(_finding(findings[k], findings[k].line in hidden) for k in kept)


def _finding(finding: Finding, hidden: bool) -> FindingSection:
    return FindingSection(
        line=finding.line,
        example=finding.example_id,
        detector=finding.detector,
        category=finding.category,
        score=finding.score,
        threshold=finding.threshold,
        evidence=_evidence(finding.evidence, shown=not hidden),
    )


def _evidence(evidence: Evidence | None, *, shown: bool) -> EvidenceSection | None:
    if evidence is None:
        return None
    return EvidenceSection(
        kind=evidence.kind,
        detail=evidence.detail if shown else WITHHELD,
        turn=evidence.turn,
        span=evidence.span,
        excerpt=evidence.excerpt if shown else "",
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
