"""The detector protocol and what a detector says. One scale: 0 benign .. 1 harmful."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from detectors.dataset import Dataset, Example

EXCERPT_CHARS = 240


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a row got its score.

    `kind` is "pattern" (nearest known pattern), "rule" (a written rule matched),
    "model" (a trained head alone) or "group" (the row is one of a repeated group).
    `turn` is the 0-based message index; `span` the (start, end) characters within that
    message's content; `excerpt` at most EXCERPT_CHARS characters of it; `detail` says
    in words what was matched, at most 400 characters. `turn` is None for evidence about
    the row as a whole.
    """

    kind: str
    detail: str
    turn: int | None = None
    span: tuple[int, int] | None = None
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A phrase whose presence goes with unsafe replies: what a trial can probe with.

    `text` is exactly as it stands in the rows, `position` "start", "end" or "any" of
    the messages of `role` ("system" or "user"), `rows` how many rows carry it and are
    not refused. `share_with` and `share_without`: of the distinct requests compared,
    with and without it, those that are seen to ask for harm and get it (or whose reply
    vows obedience); a lower bound where it stands. `p` is the adjusted p-value.
    """

    text: str
    position: str
    role: str
    behaviour: str
    rows: int
    share_with: float
    share_without: float
    p: float


@dataclass(frozen=True)
class Scores:
    """A detector's word on every example, aligned with the dataset.

    `values[i]` is 0..1, or None where the row was not scored: then `unscored[i]` gives
    the reason, else it is "". `categories[i]` is a key of `detectors.taxonomy`, or ""
    where the detector has no categories.

    On the dataset as a whole: `triggers` found, and `risk` 0..1 where the detector
    measures one; neither is a finding about a row.
    """

    detector: str
    version: str
    values: tuple[float | None, ...]
    evidence: tuple[Evidence | None, ...]
    categories: tuple[str, ...]
    unscored: tuple[str, ...]
    triggers: tuple[Trigger, ...] = ()
    risk: float | None = None

    def __post_init__(self) -> None:
        lengths = {
            len(self.values),
            len(self.evidence),
            len(self.categories),
            len(self.unscored),
        }
        if len(lengths) != 1:
            raise ValueError(f"{self.detector}: fields of unequal length {lengths}")
        for value, reason in zip(self.values, self.unscored, strict=True):
            if value is None and not reason:
                raise ValueError(f"{self.detector}: unscored row without a reason")
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"{self.detector}: score {value} outside 0..1")
        if self.risk is not None and not 0.0 <= self.risk <= 1.0:
            raise ValueError(f"{self.detector}: risk {self.risk} outside 0..1")

    def __len__(self) -> int:
        return len(self.values)


class Detector(Protocol):
    """Scores datasets. Options are keyword arguments of __init__; no threshold."""

    @property
    def name(self) -> str:
        """Stable name, a key of the report."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the scores can change: code version + head digest."""
        ...

    def score(self, dataset: Dataset) -> Scores:
        """Score every example; the result is aligned with the dataset."""
        ...


@runtime_checkable
class RowDetector(Detector, Protocol):
    """A detector that first scores each row alone, which costs most, then compares.

    So it can be done chunk by chunk, and what was said of a chunk can be kept:
    `score` is `detectors.chunk.score_in_chunks`.
    """

    @property
    def rows_at_once(self) -> int:
        """Rows of a chunk at most: bounds memory, and what a crash can cost."""
        ...

    def score_alone(self, examples: Sequence[Example]) -> Scores:
        """Score each example of one chunk, whatever the others are."""
        ...

    def compare(self, dataset: Dataset, alone: Scores) -> Scores:
        """Add what only the rows together show to what was said of each alone."""
        ...
