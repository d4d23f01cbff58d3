"""The moderation protocol: exchanges go in, verdicts come out, or a reason why not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Protocol

from detectors.taxonomy import DETECT_ONLY

LABEL_CHARS = 120

Progress = Callable[[str, int, int], None]
"""Called with (stage, steps done, steps in all); may raise to stop the work."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One exchange to moderate: what was asked and replied, under which system text.

    `answer_at` is where in the reply the answer begins, behind reasoning.
    """

    request: str
    reply: str
    system: str = ""
    answer_at: int = 0

    @property
    def asked(self) -> str:
        """System text and request, as one text."""
        return "\n\n".join(t for t in (self.system, self.request) if t.strip())


@dataclass(frozen=True, slots=True)
class Verdict:
    """A provider's word: its own line is `flagged`, its number `score` (0..1).

    `category` is a key of `detectors.taxonomy` or "", `label` the provider's own words.
    """

    flagged: bool
    score: float
    category: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        if not (isfinite(self.score) and 0.0 <= self.score <= 1.0):
            raise ValueError(f"score {self.score} outside 0..1")

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Orders verdicts from mild to grave; one never shown outranks scores."""
        hidden = self.flagged and self.category in DETECT_ONLY
        return self.flagged, hidden, self.score


@dataclass(frozen=True, slots=True)
class Usage:
    """What it cost: requests sent (each try counts), tokens estimated, texts cached."""

    requests: int = 0
    tokens: int = 0
    cached: int = 0
    seconds: float = 0.0


def add_usage(parts: Sequence[Usage]) -> Usage:
    """Return what several askings cost together."""
    return Usage(
        requests=sum(part.requests for part in parts),
        tokens=sum(part.tokens for part in parts),
        cached=sum(part.cached for part in parts),
        seconds=sum(part.seconds for part in parts),
    )


@dataclass(frozen=True)
class Moderation:
    """A provider's word on every subject, aligned with the subjects.

    `verdicts[i]` is None where there is none; `reasons[i]` then says why, else is "".
    """

    provider: str
    model: str
    verdicts: tuple[Verdict | None, ...]
    reasons: tuple[str, ...]
    usage: Usage = Usage()

    def __post_init__(self) -> None:
        if len(self.verdicts) != len(self.reasons):
            raise ValueError(f"{self.provider}: verdicts and reasons differ in number")
        for verdict, reason in zip(self.verdicts, self.reasons, strict=True):
            if (verdict is None) != bool(reason):
                raise ValueError(f"{self.provider}: a verdict or a reason, never both")


class Moderator(Protocol):
    """Moderates exchanges. What goes wrong becomes a reason in the result."""

    @property
    def name(self) -> str:
        """The provider, stable: "openai", "guard.llama_guard", "local", "off"."""
        ...

    @property
    def model(self) -> str:
        """The model asked, as the provider names it."""
        ...

    def moderate(
        self, subjects: Sequence[Subject], *, progress: Progress | None = None
    ) -> Moderation:
        """Moderate every subject; the result is aligned with them."""
        ...
