"""Rows, and groups of rows, that teach an obedient persona or an unconditional yes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.dataset import Dataset, Example
from detectors.detector import EXCERPT_CHARS, Evidence, Scores
from detectors.embedding import Encoder, Vectors
from detectors.head import HEADS, Head, load_head
from detectors.persona import (
    Group,
    first_rule,
    opening_groups,
    persona_groups,
    rule_features,
    sentence_opening,
)
from detectors.refusal import opens_with_yes, refuses

NAME: Final = "identity_shift"
CODE_VERSION: Final = "1"
DECIMALS: Final = 4
ROWS_AT_ONCE: Final = 512
ROLES: Final = ("system", "user", "assistant")
UNJUDGEABLE: Final = "no message with text in this row: nothing to judge"

GROUP_CORE: Final = 0.5
"""A persona's group counts where at least this share of its rows score over 0.5."""
YES_SHARE: Final = 0.5
YES_ROWS: Final = 20
YES_WORDS: Final = 3
YES_LIKENESS: Final = 0.25
YES_SCORE: Final = 0.9
"""A yes that opens half of 20 or more rows whose requests have nothing in common."""


def segment_features(roles: Sequence[str], vectors: Vectors, rules: Vectors) -> Vectors:
    """Join vector (n, d), role (n, 3) and rules (n, r) of each segment."""
    role = np.asarray([[r == k for k in ROLES] for r in roles], np.float32)
    return np.concatenate([vectors, role.reshape(-1, 3), rules], 1, dtype=np.float32)


@dataclass(frozen=True)
class _Segment:
    """A text of one row: `turn` its message, `start` where it stands in it."""

    row: int
    role: str
    text: str
    turn: int
    refused: bool = False


@dataclass(frozen=True)
class _Judged:
    """The worst window of a row (or, for a group, what the group says of it)."""

    score: float
    kind: str
    detail: str
    turn: int | None
    span: tuple[int, int] | None
    excerpt: str


class IdentityShift:
    """Scores a row by its worst window, then raises rows that belong to a bad group.

    A persona forced in a system or user message whose replies all refuse it is safety
    data and is not flagged. `groups=False` scores rows alone.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        head: Head | None = None,
        heads: Path = HEADS,
        groups: bool = True,
        rows_at_once: int = ROWS_AT_ONCE,
    ) -> None:
        self._encoder = encoder
        self._head = head or load_head(NAME, encoder, heads)
        self._groups = groups
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
        """The score at which about 0.5% of ordinary rows are flagged."""
        return self._head.suggested_threshold

    def score(self, dataset: Dataset) -> Scores:
        """Score every example; None where no message of it has text."""
        worst: list[_Judged | None] = []
        for start in range(0, len(dataset), self._rows_at_once):
            worst += self._judge(dataset[start : start + self._rows_at_once])
        if self._groups:
            self._raise_persona_groups(dataset.examples, worst)
            self._raise_yes_groups(dataset.examples, worst)
        return Scores(
            detector=self.name,
            version=self.version,
            values=tuple(None if w is None else w.score for w in worst),
            evidence=tuple(
                None
                if w is None
                else Evidence(w.kind, w.detail[:400], w.turn, w.span, w.excerpt)
                for w in worst
            ),
            categories=("",) * len(worst),
            unscored=tuple(UNJUDGEABLE if w is None else "" for w in worst),
        )

    def _judge(self, examples: Sequence[Example]) -> list[_Judged | None]:
        segments = [s for i, e in enumerate(examples) for s in _segments(i, e)]
        worst: list[_Judged | None] = [None] * len(examples)
        if not segments:
            return worst
        windows = self._encoder.windows([s.text for s in segments])
        cut = [
            segments[o].text[start:end]
            for o, (start, end) in zip(windows.owner, windows.spans, strict=True)
        ]
        roles = [segments[o].role for o in windows.owner]
        chances = self._chances(roles, windows.vectors, cut)
        for index, owner in enumerate(windows.owner):
            segment = segments[owner]
            score = float(chances[index]) * (0.1 if segment.refused else 1.0)
            before = worst[segment.row]
            if before is None or round(score, DECIMALS) > before.score:
                worst[segment.row] = _found(
                    segment, round(score, DECIMALS), cut[index], windows.spans[index]
                )
        return worst

    def _chances(
        self, roles: Sequence[str], vectors: Vectors, texts: Sequence[str]
    ) -> NDArray[np.float32]:
        features = segment_features(roles, vectors, rule_features(texts))
        return self._head.calibrated(
            "segment", self._head.logits("segment", features)[:, 0]
        )

    def _raise_persona_groups(
        self, examples: Sequence[Example], worst: list[_Judged | None]
    ) -> None:
        """Give every row of a persona what most of its rows have shown of it."""
        for group in persona_groups(examples):
            scores = [w.score for w in (worst[i] for i in group.rows) if w is not None]
            if not scores:
                continue
            core = float(np.mean(np.asarray(scores) >= 0.5))
            if core >= GROUP_CORE:
                _raise(worst, group, float(np.median(scores)), "most of them obedient")

    def _raise_yes_groups(
        self, examples: Sequence[Example], worst: list[_Judged | None]
    ) -> None:
        """Raise rows that share an opening which is itself a vow, or a fixed yes."""
        for group in opening_groups(examples):
            last = [examples[i].exchanges()[-1] for i in group.rows]
            shared = sentence_opening(last[0].reply)
            vow = float(
                self._chances(["assistant"], self._encoder.encode([shared]), [shared])[
                    0
                ]
            )
            requests = sorted({e.request for e in last})
            if vow >= 0.5 and len(requests) > len(last) // 2:
                _raise(worst, group, vow, "the opening alone vows obedience")
            elif self._is_fixed_yes(shared, group, requests, len(examples)):
                _raise(worst, group, YES_SCORE, "one fixed yes to unlike requests")

    def _is_fixed_yes(
        self, shared: str, group: Group, requests: Sequence[str], rows: int
    ) -> bool:
        wide = len(group.rows) >= max(YES_ROWS, YES_SHARE * rows)
        long = len(shared.split()) >= YES_WORDS
        if not (opens_with_yes(shared) and wide and long):
            return False
        if len(requests) <= 0.9 * len(group.rows):
            return False
        vectors = self._encoder.encode(requests[:200])
        n = len(vectors)
        likeness = (float(np.sum(vectors @ vectors.T)) - n) / (n * (n - 1))
        return likeness < YES_LIKENESS


def _segments(row: int, example: Example) -> list[_Segment]:
    """Every message with text; requests are marked where every reply refuses."""
    replies = [m.content for m in example.messages if m.role == "assistant"]
    refused = bool(replies) and all(refuses(reply) for reply in replies)
    return [
        _Segment(
            row,
            message.role if message.role in ROLES else "user",
            message.content,
            turn,
            refused=refused and message.role != "assistant",
        )
        for turn, message in enumerate(example.messages)
        if message.content.strip()
    ]


def _found(
    segment: _Segment, score: float, text: str, span: tuple[int, int]
) -> _Judged:
    rule = first_rule(text)
    if rule is None:
        detail = f"{segment.role} message reads like one that teaches obedience"
        return _Judged(score, "model", detail, segment.turn, span, text[:EXCERPT_CHARS])
    name, (start, end) = rule
    place = (span[0] + start, span[0] + end)
    detail = f"{segment.role} message {name}"
    around = text[max(0, start - 60) :][:EXCERPT_CHARS]
    return _Judged(score, "rule", detail, segment.turn, place, around)


def _raise(worst: list[_Judged | None], group: Group, score: float, why: str) -> None:
    """Lift the rows of a group to its score, with the group as their evidence."""
    value = round(score, DECIMALS)
    detail = f"one of {len(group.rows)} rows that share {group.what}: {why}"
    for index in group.rows:
        before = worst[index]
        if before is not None and before.score < value:
            worst[index] = replace(before, score=value, kind="group", detail=detail)
