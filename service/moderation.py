"""Moderation of a dataset: which rows go out, what came back, and its findings."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from detectors.dataset import Dataset, Example
from detectors.detector import EXCERPT_CHARS, Evidence, Scores
from detectors.moderation.moderator import (
    Moderator,
    Progress,
    Usage,
    Verdict,
    add_usage,
)
from detectors.moderation.rows import RowModeration, RowVerdict, moderate_rows
from detectors.taxonomy import DETECT_ONLY
from service.finding import Finding, settle
from service.policy import ModerationLimits, Policy


@dataclass(frozen=True)
class Moderated:
    """What moderation says of a dataset, aligned with its rows.

    `rows[i]` is None where the policy does not send the row out.
    """

    provider: str
    model: str
    rows: tuple[RowVerdict | None, ...]
    usage: Usage = field(default_factory=Usage)

    @property
    def asked(self) -> int:
        """How many rows the policy sends out."""
        return sum(row is not None for row in self.rows)

    @property
    def missed(self) -> tuple[int, ...]:
        """Indices of the rows to be sent out that have no verdict."""
        pairs = enumerate(self.rows)
        return tuple(i for i, row in pairs if row is not None and row.verdict is None)

    def flagged(self, limits: ModerationLimits) -> tuple[int, ...]:
        """Return the indices of rows that the provider or the threshold flags."""
        return tuple(
            index
            for index, row in enumerate(self.rows)
            if row is not None and row.verdict and _flags(limits, row.verdict)
        )

    def score(self, index: int) -> float:
        """Return the provider's score of a row; 0 where it gave none."""
        row = self.rows[index]
        known = None if row is None or row.verdict is None else row.verdict.score
        return settle(known) or 0.0


def _flags(limits: ModerationLimits, verdict: Verdict) -> bool:
    return verdict.flagged or (settle(verdict.score) or 0.0) >= limits.row_threshold


def choose_rows(
    limits: ModerationLimits, scores: Sequence[Scores], rows: int
) -> tuple[bool, ...]:
    """Say of each row whether the policy sends it out."""
    if limits.rows != "uncertain":
        return (limits.rows == "all",) * rows
    return tuple(
        _uncertain(limits, [settle(said.values[row]) for said in scores])
        for row in range(rows)
    )


def _uncertain(limits: ModerationLimits, scores: Sequence[float | None]) -> bool:
    """Whether no detector is sure of the row: all in doubt or silent."""
    known = [score for score in scores if score is not None]
    if len(known) < len(scores) or not known:
        return True
    return limits.low <= max(known) <= limits.high


def moderate_dataset(
    policy: Policy,
    dataset: Dataset,
    scores: Sequence[Scores],
    moderator: Moderator,
    *,
    progress: Progress | None = None,
) -> Moderated:
    """Send out what the policy says; where it says none, the moderator is not asked."""
    chosen = choose_rows(policy.moderation, scores, len(dataset))
    examples = [row for row, sent in zip(dataset, chosen, strict=True) if sent]
    if not examples:
        return gather(moderator, chosen, ())
    said = moderate_rows(moderator, examples, progress=progress)
    return gather(moderator, chosen, (said,))


class Provider(Protocol):
    """Who moderated: a Moderator, or a record of one."""

    @property
    def name(self) -> str:
        """The provider."""
        ...

    @property
    def model(self) -> str:
        """The model asked."""
        ...


def gather(
    provider: Provider, chosen: Sequence[bool], batches: Sequence[RowModeration]
) -> Moderated:
    """Lay what was said of the rows sent out, batch by batch, over all rows."""
    heard = (row for batch in batches for row in batch.rows)
    rows = tuple(next(heard) if sent else None for sent in chosen)
    usage = add_usage([batch.usage for batch in batches])
    return Moderated(provider.name, provider.model, rows, usage)


def moderation_findings(
    limits: ModerationLimits, dataset: Dataset, moderated: Moderated
) -> list[Finding]:
    """Return a Finding for each flagged row; the provider is named as the detector.

    Where the provider flags below the policy's threshold, its score is the threshold.
    """
    found = []
    for index in moderated.flagged(limits):
        row, example = moderated.rows[index], dataset[index]
        assert row is not None
        assert row.verdict is not None
        score = moderated.score(index)
        finding = Finding(
            line=example.origin.line,
            example_id=example.id,
            detector=f"moderation.{moderated.provider}",
            category=row.verdict.category,
            score=score,
            threshold=min(score, limits.row_threshold),
            evidence=_evidence(moderated, example, row.verdict, row.turn),
        )
        found.append(finding)
    return found


def _evidence(
    moderated: Moderated, example: Example, verdict: Verdict, turn: int | None
) -> Evidence:
    shown = turn is not None and verdict.category not in DETECT_ONLY
    content = example.messages[turn].content if shown and turn is not None else ""
    return Evidence(
        kind="moderation",
        detail=f"{moderated.provider} {moderated.model}: {verdict.label or 'flagged'}",
        turn=turn,
        excerpt=content[:EXCERPT_CHARS],
    )
