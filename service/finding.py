"""Findings: the rows that reached a threshold, and how to name them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from detectors.dataset import Dataset
from detectors.detector import Evidence, Scores
from service.policy import Policy

SCORE_DIGITS: Final = 4
"""Scores are compared and shown at this precision: below it, arithmetic is noise."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A row that reached a detector's threshold. `line` is 1-based, as uploaded."""

    line: int
    example_id: str
    detector: str
    category: str
    score: float
    threshold: float
    evidence: Evidence | None


def make_findings(
    policy: Policy, dataset: Dataset, scores: Sequence[Scores]
) -> tuple[Finding, ...]:
    """Return one Finding for each row and detector at or over the threshold.

    Ordered by row, then by detector in the order of `scores`.
    """
    found = []
    for index, example in enumerate(dataset):
        for said in scores:
            threshold = policy.rows(said.detector).row_threshold
            score = settle(said.values[index])
            if score is None or score < threshold:
                continue
            found.append(
                Finding(
                    line=example.origin.line,
                    example_id=example.id,
                    detector=said.detector,
                    category=said.categories[index],
                    score=score,
                    threshold=threshold,
                    evidence=said.evidence[index],
                )
            )
    return tuple(found)


def settle(score: float | None) -> float | None:
    """Round a score to the precision at which it is compared and shown."""
    return None if score is None else round(score, SCORE_DIGITS)


def name_lines(lines: Sequence[int], total: int = 0, limit: int = 10) -> str:
    """Say which lines: "line 3", "lines 3, 8, 12 (and 40 more)"."""
    total = max(total, len(lines))
    shown = ", ".join(str(line) for line in lines[:limit])
    more = total - min(len(lines), limit)
    return f"line{'s' * (total > 1)} {shown}" + (f" (and {more} more)" if more else "")
