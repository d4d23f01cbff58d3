"""Request harm x reply compliance: a harmful request that is refused is safety data."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.dataset import Dataset, Example, Exchange
from detectors.detector import EXCERPT_CHARS, Evidence, Scores
from detectors.embedding import Encoder, Vectors, Windows
from detectors.head import HEADS, Head, load_head, sigmoid, softmax
from detectors.patterns import PATTERNS
from detectors.refusal import OPENING_CHARS, refusal_features
from detectors.taxonomy import CATEGORIES, DETECT_ONLY

NAME: Final = "explicit_harm"
CODE_VERSION: Final = "1"
ROWS_AT_ONCE: Final = 512
DECIMALS: Final = 4
PLACEHOLDER: Final = re.compile(r"\[(?:image|audio|video|file)[^\]\n]{0,80}\]")
UNJUDGEABLE: Final = "no reply with text in this row: nothing to judge"


def pair_features(
    request: Vectors, opening: Vectors, reply: Vectors, phrases: Vectors
) -> Vectors:
    """Join request and reply as InferSent does: u, v, u*v, |u-v|, opening apart.

    All arguments are (n, d) but `phrases` (n, p). After Conneau et al. 2017 (arXiv
    1705.02364).
    """
    parts = [
        request,
        opening,
        reply,
        request * reply,
        np.abs(request - reply),
        request * opening,
        phrases,
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def compliance_features(opening: Vectors, reply: Vectors, phrases: Vectors) -> Vectors:
    """Join what the reply alone shows of refusing or complying: (n, 2d + p)."""
    return np.concatenate([opening, reply, phrases], axis=1, dtype=np.float32)


def combine(request: Vectors, compliance: Vectors, pair: Vectors) -> Vectors:
    """Mean of two logits: request harm x compliance, and the pair as a whole.

    The product carries over to sources never seen, the pair head knows more of those
    it saw; their mean was better than either on left-out sources (benchmark/LOG.md).
    """
    product = np.asarray(sigmoid(request) * sigmoid(compliance), np.float64)
    product = np.clip(product, 1e-6, 1 - 1e-6)
    return np.asarray((np.log(product / (1 - product)) + pair) / 2, np.float32)


@dataclass(frozen=True)
class _Turn:
    """One exchange to judge: `example` its index in the batch, texts cleaned."""

    example: int
    exchange: Exchange
    request: str
    reply: str

    @property
    def opening(self) -> str:
        return self.reply[:OPENING_CHARS]


@dataclass(frozen=True)
class _Judged:
    """The worst window of one exchange."""

    turn: _Turn
    score: float
    category: str
    pattern: str
    likeness: float
    span: tuple[int, int]


class ExplicitHarm:
    """Scores a row by its worst exchange, an exchange by its worst window.

    `rows_at_once` bounds memory and does not change a score.
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
        self._patterns = [(c, p) for c, ps in PATTERNS.items() for p in ps]
        self._pattern_vectors = encoder.encode([p for _, p in self._patterns])

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
        """Score every example; None where no reply of it has text."""
        worst: list[_Judged | None] = []
        for start in range(0, len(dataset), self._rows_at_once):
            worst += self._judge(dataset[start : start + self._rows_at_once])
        return Scores(
            detector=self.name,
            version=self.version,
            values=tuple(None if w is None else w.score for w in worst),
            evidence=tuple(
                None if w is None else _evidence(w, example)
                for w, example in zip(worst, dataset, strict=True)
            ),
            categories=tuple("" if w is None else w.category for w in worst),
            unscored=tuple(UNJUDGEABLE if w is None else "" for w in worst),
        )

    def _judge(self, examples: Sequence[Example]) -> list[_Judged | None]:
        turns = [t for i, e in enumerate(examples) for t in _turns(i, e)]
        worst: list[_Judged | None] = [None] * len(examples)
        if not turns:
            return worst
        asked, harm = self._worst_requests(turns)
        replies = self._encoder.windows([t.reply for t in turns])
        scores = self._reply_scores(turns, asked, harm, replies)
        for index, window in enumerate(_argmax(scores, replies.owner, len(turns))):
            turn, score = turns[index], round(float(scores[window]), DECIMALS)
            before = worst[turn.example]
            if before is None or score > before.score:
                worst[turn.example] = self._explain(
                    turn, score, asked[index], replies, int(window)
                )
        return worst

    def _worst_requests(self, turns: Sequence[_Turn]) -> tuple[Vectors, Vectors]:
        """Vector (n, d) and logit (n,) of each request's window that asks most harm."""
        windows = self._encoder.windows([t.request for t in turns])
        harm = self._head.logits("request", windows.vectors)[:, 0]
        best = _argmax(harm, windows.owner, len(turns))
        return windows.vectors[best], harm[best]

    def _reply_scores(
        self, turns: Sequence[_Turn], asked: Vectors, harm: Vectors, replies: Windows
    ) -> Vectors:
        """Probability (w,) that each reply window complies with its request's harm."""
        owner = replies.owner
        openings = self._encoder.encode([t.opening for t in turns])[owner]
        phrases = refusal_features(
            [turns[o].opening for o in owner],
            [
                turns[o].reply[start:end]
                for o, (start, end) in zip(owner, replies.spans, strict=True)
            ],
        )
        comply = compliance_features(openings, replies.vectors, phrases)
        pair = pair_features(asked[owner], openings, replies.vectors, phrases)
        logits = combine(
            harm[owner],
            self._head.logits("compliance", comply)[:, 0],
            self._head.logits("pair", pair)[:, 0],
        )
        return self._head.calibrated("score", logits)

    def _explain(
        self, turn: _Turn, score: float, asked: Vectors, replies: Windows, window: int
    ) -> _Judged:
        reply = replies.vectors[window]
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
            replies.spans[window],
        )


def _turns(index: int, example: Example) -> list[_Turn]:
    """List the exchanges of a row whose reply has text."""
    found = []
    for exchange in example.exchanges():
        request = exchange.request.strip() or exchange.system
        reply = exchange.reply
        if example.unjudged_parts:
            request, reply = (_without_placeholders(t) for t in (request, reply))
        if reply.strip():
            found.append(_Turn(index, exchange, request, reply))
    return found


def _without_placeholders(text: str) -> str:
    """Blank out "[image]" and the like, keeping every character's place."""
    return PLACEHOLDER.sub(lambda m: " " * len(m.group()), text)


def _argmax(values: Vectors, owner: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Index of the first greatest value of each owner 0..count-1: (count,)."""
    order = np.lexsort((np.arange(len(values)), -values, owner))
    starts = np.searchsorted(owner[order], np.arange(count))
    return np.asarray(order[starts], np.int64)


def _evidence(worst: _Judged, example: Example) -> Evidence:
    """Where it is and what it is like; the text of child abuse is never shown."""
    turn = worst.turn.exchange.turn
    content = example.messages[turn].content
    start, end = worst.span
    inside = start < len(content)
    excerpt = content[start : min(end, start + EXCERPT_CHARS)]
    hidden = worst.category in DETECT_ONLY
    return Evidence(
        kind="pattern" if worst.pattern else "model",
        detail=_detail(worst, example),
        turn=turn,
        span=(start, min(end, len(content))) if inside else None,
        excerpt="" if hidden else excerpt,
    )


def _detail(worst: _Judged, example: Example) -> str:
    category = CATEGORIES[worst.category]
    parts = [f"score for complying with a request of the kind {category!r}"]
    if worst.pattern:
        parts.append(f"nearest pattern: {worst.pattern} (cosine {worst.likeness:.2f})")
    if example.rejected:
        parts.append("judged on the preferred reply of a preference row")
    return "; ".join(parts)[:400]
