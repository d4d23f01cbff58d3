"""Request harm x reply compliance: a harmful request that is refused is safety data."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.chunk import score_in_chunks
from detectors.cross_encoder import PairReader, load_cross_encoder
from detectors.dataset import Dataset, Example
from detectors.detector import EXCERPT_CHARS, Evidence, Scores
from detectors.embedding import Encoder, Vectors
from detectors.harm.frozen import (
    Frozen,
    read_closer,
    read_elsewhere,
    read_frozen,
    request_logits,
)
from detectors.harm.layers import discount, exchange_discount, joint
from detectors.harm.paired import MOST_PAIRS, read_pairs
from detectors.harm.turn import Asked, Turn, foreign_rows, turns_of
from detectors.head import HEADS, Head, load_head, softmax
from detectors.json_words import DEFINITIONS
from detectors.patterns import PATTERNS
from detectors.taxonomy import CATEGORIES, DETECT_ONLY

NAME: Final = "explicit_harm"
ADAPTER: Final = "exchange"
CODE_VERSION: Final = "10"
ROWS_AT_ONCE: Final = 512
DECIMALS: Final = 4
NO_REPLY: Final = "no reply with text in this row: nothing to judge"
FOREIGN: Final = (
    "mostly, or in a longer part, in a script that the encoder cannot read: have "
    "somebody who reads the language look at it"
)
TOO_MANY_PAIRS: Final = (
    f"more than {MOST_PAIRS:,} pairs of pieces of requests and replies: split the row"
)


@dataclass(frozen=True)
class _Judged:
    """The worst exchange of a row."""

    turn: Turn
    score: float
    category: str
    pattern: str
    likeness: float
    span: tuple[int, int]


class ExplicitHarm:
    """Scores a row by its worst exchange, an exchange by two readers' worst pieces.

    One reader compares embeddings of all of request and reply, the other reads both
    together. The more pieces a reply or exchanges a row has, the less the worst counts.
    A reply, and its answer alone, is also read with the system text, the definitions of
    tools and earlier requests that were not refused: that which asks most for harm.
    `rows_at_once` bounds memory and changes no score.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        head: Head | None = None,
        reader: PairReader | None = None,
        heads: Path = HEADS,
        rows_at_once: int = ROWS_AT_ONCE,
    ) -> None:
        self._encoder = encoder
        self._head = head or load_head(NAME, encoder, heads)
        self._reader = reader or load_cross_encoder(ADAPTER, directory=heads)
        self._rows_at_once = max(1, rows_at_once)
        self._patterns = [(c, p) for c, ps in PATTERNS.items() for p in ps]
        self._pattern_vectors = encoder.encode([p for _, p in self._patterns])

    @property
    def name(self) -> str:
        """The key of this detector in reports."""
        return NAME

    @property
    def version(self) -> str:
        """Code version, head digest and adapter digest."""
        return f"{CODE_VERSION}+{self._head.digest[:12]}+{self._reader.digest[:12]}"

    @property
    def suggested_threshold(self) -> float:
        """The score that 0.2% of the strictest ordinary source exceed."""
        return self._head.suggested_threshold

    @property
    def rows_at_once(self) -> int:
        """Rows of a chunk at most."""
        return self._rows_at_once

    def score(self, dataset: Dataset) -> Scores:
        """Score every example; None with the reason where it cannot be judged."""
        return score_in_chunks(self, dataset)

    def score_alone(self, examples: Sequence[Example]) -> Scores:
        """Score each example of a chunk."""
        worst, unscored = self._judge(examples)
        return Scores(
            detector=self.name,
            version=self.version,
            values=tuple(None if w is None else w.score for w in worst),
            evidence=tuple(
                None if w is None else _evidence(w, example)
                for w, example in zip(worst, examples, strict=True)
            ),
            categories=tuple("" if w is None else w.category for w in worst),
            unscored=tuple(unscored),
        )

    def compare(self, dataset: Dataset, alone: Scores) -> Scores:
        """Leave each row its score: no other row changes it."""
        return alone

    def _judge(
        self, examples: Sequence[Example]
    ) -> tuple[list[_Judged | None], list[str]]:
        """Judge each row, with the reason where there is no judgement."""
        own = [t for i, e in enumerate(examples) for t in turns_of(i, e)]
        worst: list[_Judged | None] = [None] * len(examples)
        reasons = [NO_REPLY] * len(examples)
        if not own:
            return worst, reasons
        turns = [*own, *read_elsewhere(own, self._encoder, self._head)]
        turns += read_closer(turns, self._encoder, self._head)
        frozen = read_frozen(turns, self._encoder, self._head)
        paired = read_pairs(turns, frozen.requests, self._reader, self._rate)
        chances = paired.counts * np.asarray([t.chosen_of for t in turns], np.int64)
        logits = joint(frozen.logits, paired.logits) - discount(chances)
        logits -= exchange_discount(_exchanges(turns))
        scores = self._head.calibrated("score", logits)
        for index, turn in enumerate(turns):
            if turn.example in paired.unread:
                reasons[turn.example] = TOO_MANY_PAIRS
                continue
            score = round(float(scores[index]), DECIMALS)
            before = worst[turn.example]
            reasons[turn.example] = ""
            if before is None or score > before.score:
                span = paired.spans[index]
                worst[turn.example] = self._explain(turn, score, frozen, index, span)
        self._withhold(own, worst, reasons)
        return worst, reasons

    def _rate(self, texts: Sequence[str]) -> Vectors:
        return request_logits(texts, self._encoder, self._head)

    def _withhold(
        self, turns: Sequence[Turn], worst: list[_Judged | None], reasons: list[str]
    ) -> None:
        """Take back what was said of rows with a turn in a script nobody here reads.

        Unless something in them is flagged: that stands.
        """
        threshold = self.suggested_threshold
        calm = {i for i, w in enumerate(worst) if w is not None and w.score < threshold}
        for index in foreign_rows([t for t in turns if t.example in calm]):
            worst[index], reasons[index] = None, FOREIGN

    def _explain(
        self,
        turn: Turn,
        score: float,
        frozen: Frozen,
        index: int,
        span: tuple[int, int],
    ) -> _Judged:
        asked, reply = frozen.asked[index], frozen.reply[index]
        chances = softmax(self._head.logits("category", np.stack([asked, reply]))).mean(
            axis=0
        )
        category = tuple(CATEGORIES)[int(np.argmax(chances))]
        likeness = self._pattern_vectors @ asked
        near = [i for i, (c, _) in enumerate(self._patterns) if c == category]
        best = max(near, key=lambda i: float(likeness[i]), default=None)
        return _Judged(
            turn,
            score,
            category,
            "" if best is None else self._patterns[best][1],
            0.0 if best is None else round(float(likeness[best]), 2),
            span,
        )


def _exchanges(turns: Sequence[Turn]) -> NDArray[np.int64]:
    """Count the exchanges of each turn's row: (n,)."""
    found = {(turn.example, turn.exchange.turn) for turn in turns}
    counts = Counter(example for example, _ in found)
    return np.asarray([counts[turn.example] for turn in turns], np.int64)


def _evidence(worst: _Judged, example: Example) -> Evidence:
    """Where it is and what it is like; the text of child abuse is never shown."""
    turn = worst.turn.exchange.turn
    content = example.messages[turn].content
    start, end = (worst.turn.reply_at + place for place in worst.span)
    start += _blanks(content[start:end])
    inside = start < len(content)
    said = content if inside else worst.turn.exchange.reply  # its calls stand behind
    excerpt = said[start : min(end, start + EXCERPT_CHARS)]
    hidden = worst.category in DETECT_ONLY
    return Evidence(
        kind="pattern" if worst.pattern else "model",
        detail=_detail(worst, example, called=not inside),
        turn=turn,
        span=(start, min(end, len(content))) if inside else None,
        excerpt="" if hidden else excerpt,
    )


def _blanks(text: str) -> int:
    """Count the spaces before the first other character; none where there is none."""
    return len(text) - len(text.lstrip()) if text.strip() else 0


def _detail(worst: _Judged, example: Example, *, called: bool) -> str:
    category = CATEGORIES[worst.category]
    where = " in a tool call" if called else ""
    parts = [f"score for complying{where} with a request of the kind {category!r}"]
    if worst.pattern:
        parts.append(f"nearest pattern: {worst.pattern} (cosine {worst.likeness:.2f})")
    if worst.turn.elsewhere is not None:
        parts.append(f"the request stands in {_place(worst.turn.elsewhere, example)}")
    if example.rejected:
        parts.append("judged on the preferred reply of a preference row")
    return "; ".join(parts)[:400]


def _place(asked: Asked, example: Example) -> str:
    if asked.turn is None:
        return f"the {DEFINITIONS}"
    return f"message {asked.turn} ({example.messages[asked.turn].role})"
