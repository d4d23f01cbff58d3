"""The file as a whole: what the detectors' scores say against ordinary files."""

from collections.abc import Sequence

from detectors.dataset_risk import Reference, dataset_risk
from detectors.detector import Scores
from service.policy import Policy
from service.report.report import ExcessSection, RiskSection


def risk_section(
    policy: Policy, scores: Sequence[Scores], reference: Reference
) -> RiskSection:
    """Put the risk of the file, and the false alarms to expect, in report form."""
    thresholds = {s.detector: policy.rows(s.detector).row_threshold for s in scores}
    risk = dataset_risk(scores, thresholds, reference)
    return RiskSection(
        p=risk.p,
        value=risk.value,
        detectors={
            excess.detector: ExcessSection(
                score=round(excess.score, 4),
                observed=excess.observed,
                expected=excess.expected,
                p=excess.p,
                expected_flagged=risk.expected_flagged[excess.detector],
            )
            for excess in risk.excesses
        },
    )
