"""Scoring: what a detector said of each chunk of rows, kept and found again.

The chunks are parts of one step, not steps: so the order of steps is the same for every
dataset, and a step that is tried again goes on as one that a crash cut off does.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from detectors.dataset import Example
from detectors.detector import RowDetector, Scores
from service.storage.checkpoint import Checkpoints

Keep = Callable[[str, object], None]
"""Puts a checkpoint, as `Checkpoints.put`."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A record, and the wall-clock seconds it took to make."""

    seconds: float


@dataclass(frozen=True, slots=True)
class TimedScores(Timed):
    """One detector's word."""

    scores: Scores


class KeptChunks:
    """A screening's scores of chunks: a crash costs the one that it cut off.

    `seconds_before` is what the chunks that were found again once took.
    """

    def __init__(self, kept: Checkpoints, keep: Keep) -> None:
        self._kept = kept
        self._keep = keep
        self.seconds_before = 0.0

    def score(
        self, detector: RowDetector, start: int, examples: Sequence[Example]
    ) -> Scores:
        """Return what was kept of the chunk from row `start` on, or score it now."""
        name = f"scores-{detector.name}-{start}"
        before = self._find(name)
        if before is not None and _fits(before.scores, detector, examples):
            self.seconds_before += before.seconds
            return before.scores
        began = time.perf_counter()
        scores = detector.score_alone(examples)
        self._keep(name, TimedScores(time.perf_counter() - began, scores))
        return scores

    def _find(self, name: str) -> TimedScores | None:
        try:
            return self._kept.get(name, TimedScores)
        except FileNotFoundError:
            return None


def _fits(before: Scores, detector: RowDetector, examples: Sequence[Example]) -> bool:
    """Say whether they are of these rows by this version.

    Both begin at one row, so chunks of as many rows are the same chunk; those of a
    release that cut them elsewhere, or of another version, are scored anew.
    """
    return before.version == detector.version and len(before) == len(examples)
