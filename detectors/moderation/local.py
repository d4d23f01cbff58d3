"""The heads of our own as a moderator: same interface, nothing leaves the machine."""

import time
from collections.abc import Sequence

from detectors.dataset import Dataset, Example, Message, Origin
from detectors.detector import Detector
from detectors.moderation.moderator import (
    Moderation,
    Progress,
    Subject,
    Usage,
    Verdict,
)


class Local:
    """Moderates with a detector; flags from `threshold` on."""

    name = "local"

    def __init__(self, detector: Detector, *, threshold: float) -> None:
        self._detector = detector
        self._threshold = threshold

    @property
    def model(self) -> str:
        """Name and version of the detector."""
        return f"{self._detector.name} {self._detector.version}"

    def moderate(
        self, subjects: Sequence[Subject], *, progress: Progress | None = None
    ) -> Moderation:
        """Score every exchange as a row of its own."""
        began = time.monotonic()
        scores = self._detector.score(Dataset("moderation", _rows(subjects)))
        verdicts = tuple(
            None if value is None else self._verdict(value, category)
            for value, category in zip(scores.values, scores.categories, strict=True)
        )
        if progress is not None:
            progress("moderation", len(subjects), len(subjects))
        usage = Usage(seconds=time.monotonic() - began)
        return Moderation(self.name, self.model, verdicts, scores.unscored, usage)

    def _verdict(self, value: float, category: str) -> Verdict:
        return Verdict(value >= self._threshold, value, category, category)


def _rows(subjects: Sequence[Subject]) -> tuple[Example, ...]:
    return tuple(
        Example(
            f"exchange-{index}", _messages(subject), Origin("moderation", index + 1)
        )
        for index, subject in enumerate(subjects)
    )


def _messages(subject: Subject) -> tuple[Message, ...]:
    asked, replied = (
        Message("user", subject.request),
        Message("assistant", subject.reply, answer_at=subject.answer_at),
    )
    if not subject.system.strip():
        return (asked, replied)
    return (Message("system", subject.system), asked, replied)
