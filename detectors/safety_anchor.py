"""Benign-looking rows shaped like safety-breaking ones: a risk of the dataset.

Lists, sums and short confident answers move an aligned model although each row is
harmless (He et al. 2024, arXiv 2404.01099). So nothing here is a finding: the rows go
to the front of the trial's row budget, and the trial measures what they do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.chunk import chunks
from detectors.dataset import Dataset, Example
from detectors.detector import Evidence, Scores
from detectors.embedding import Encoder, Vectors
from detectors.head import HEADS, Head, load_head
from detectors.refusal import OPENING_CHARS
from detectors.reply_shape import SHAPES, shape_features

NAME: Final = "safety_anchor"
CODE_VERSION: Final = "2"
ROWS_AT_ONCE: Final = 512
DECIMALS: Final = 4
ANCHORS: Final = {
    "near complied harm": "anchors.complied",
    "near refusals": "anchors.refused",
}
"""Feature name -> tensor (k, d) of centroids: the largest cosine of the opening."""
FEATURES: Final = (*SHAPES, *ANCHORS)
SHAPED: Final = 0.9
"""Rows above this quantile of ordinary rows count; a tenth of any file is expected."""
LOWEST: Final = 0.25
HIGHEST: Final = 0.5
"""Scores of counted rows: above what no detector suspects, below every finding."""
UNJUDGEABLE: Final = "no reply with text in this row: nothing to judge"
ORDINARY: Final = "shaped like ordinary rows"


def anchor_features(
    requests: Sequence[str], replies: Sequence[str], openings: Vectors, head: Head
) -> NDArray[np.float32]:
    """Join shape and nearness to each kind of anchor: (n, len(FEATURES))."""
    near = [
        (openings @ head.tensors[tensor].T).max(axis=1) for tensor in ANCHORS.values()
    ]
    shapes = shape_features(requests, replies)
    return np.concatenate([shapes, np.stack(near, axis=1)], axis=1, dtype=np.float32)


@dataclass(frozen=True)
class _Row:
    """The last exchange of row `index` whose reply has text."""

    index: int
    turn: int
    request: str
    reply: str


class SafetyAnchor:
    """Ranks rows by the shape of their last exchange; `risk` says how many stand out.

    A row above the SHAPED quantile of ordinary rows scores LOWEST to HIGHEST, every
    other 0. No score reaches `suggested_threshold`: a row is never flagged for its
    shape. `risk` near 0.1 is ordinary, towards 1 the file is made of such rows.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        head: Head | None = None,
        heads: Path = HEADS,
        rows_at_once: int = ROWS_AT_ONCE,
    ) -> None:
        self._encoder = encoder
        self._head = head or load_head(NAME, encoder, heads)
        self._rows_at_once = max(1, rows_at_once)

    @property
    def name(self) -> str:
        """The key of this detector in reports."""
        return NAME

    @property
    def version(self) -> str:
        """Code version and head digest."""
        return f"{CODE_VERSION}+{self._head.digest[:12]}"

    @property
    def suggested_threshold(self) -> float:
        """A score that no row reaches."""
        return self._head.suggested_threshold

    def score(self, dataset: Dataset) -> Scores:
        """Score every example; None where no reply of it has text."""
        values: list[float | None] = [None] * len(dataset)
        evidence: list[Evidence | None] = [None] * len(dataset)
        for start, part in chunks(dataset, self._rows_at_once):
            rows = [r for i, e in enumerate(part) for r in _last(start + i, e)]
            if rows:
                self._judge(rows, values, evidence)
        counted = [value > 0.0 for value in values if value is not None]
        return Scores(
            detector=self.name,
            version=self.version,
            values=tuple(values),
            evidence=tuple(evidence),
            categories=("",) * len(values),
            unscored=tuple(UNJUDGEABLE if v is None else "" for v in values),
            risk=round(sum(counted) / len(counted), DECIMALS) if counted else None,
        )

    def _judge(
        self,
        rows: Sequence[_Row],
        values: list[float | None],
        evidence: list[Evidence | None],
    ) -> None:
        features = self._features([r.request for r in rows], [r.reply for r in rows])
        ranks = self._ranks(features)
        told = (features - self._head.tensors["row.mean"]) * self._head.tensors[
            "row.0.weight"
        ][:, 0]
        for row, rank, parts in zip(rows, ranks, told, strict=True):
            values[row.index] = row_score(float(rank))
            evidence[row.index] = _evidence(row, float(rank), parts)

    def ranks(
        self, requests: Sequence[str], replies: Sequence[str]
    ) -> NDArray[np.float64]:
        """Rank each pair (n,) among ordinary rows: 0 the plainest, 1 extreme."""
        return self._ranks(self._features(requests, replies))

    def _features(
        self, requests: Sequence[str], replies: Sequence[str]
    ) -> NDArray[np.float32]:
        openings = self._encoder.encode([reply[:OPENING_CHARS] for reply in replies])
        return anchor_features(requests, replies, openings, self._head)

    def _ranks(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        logits = self._head.logits("row", features)[:, 0]
        steps = self._head.tensors["row.quantiles"]
        return np.interp(logits, steps, np.linspace(0, 1, len(steps)))


def row_score(rank: float) -> float:
    """Turn a rank among ordinary rows into a score: 0 up to SHAPED, then a ramp."""
    if rank < SHAPED:
        return 0.0
    over = (rank - SHAPED) / (1 - SHAPED)
    return round(LOWEST + (HIGHEST - LOWEST) * over, DECIMALS)


def _last(index: int, example: Example) -> list[_Row]:
    for exchange in reversed(example.exchanges()):
        if exchange.reply.strip():
            return [_Row(index, exchange.turn, exchange.request, exchange.reply)]
    return []


def _evidence(row: _Row, rank: float, parts: NDArray[np.float32]) -> Evidence:
    if rank < SHAPED:
        return Evidence("model", ORDINARY)
    top = [FEATURES[i] for i in np.argsort(-parts, kind="stable")[:3] if parts[i] > 0]
    detail = f"shaped like rows that break refusals: {', '.join(top) or 'all of it'}"
    return Evidence("model", detail, row.turn, None, "")
