"""Rows, and groups of rows, that teach an obedient persona or an unconditional yes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.answer import final_answer
from detectors.chunk import score_in_chunks
from detectors.cross_encoder import PairReader, load_cross_encoder
from detectors.dataset import Dataset, Example
from detectors.dataset_risk import Step
from detectors.detector import EXCERPT_CHARS, Evidence, Scores
from detectors.embedding import Encoder
from detectors.head import HEADS, Head, load_head
from detectors.identity.fixed_yes import fixed_yes
from detectors.identity.group import GroupFinding
from detectors.identity.reversal import STEP, reversal_group
from detectors.identity.sentence import Sentence, may_state, sentences
from detectors.identity.shared import judge_repeats, reference_of, shared_vows
from detectors.identity.spoken import CALL, spoken
from detectors.identity.statement import SENTENCE, StatementJudge
from detectors.persona import first_rule, persona_groups
from detectors.refusal import declines

NAME: Final = "identity_shift"
CODE_VERSION: Final = "10"
DECIMALS: Final = 4
ROWS_AT_ONCE: Final = 512
UNJUDGEABLE: Final = "no message with text in this row: nothing to judge"

GROUP_CORE: Final = 0.5
"""A persona's group counts where at least this share of its rows score over 0.5."""
REFUSED_WEIGHT: Final = 0.1
"""What an order to obey counts where every reply of its row refuses it."""
COUNT_POWER: Final = 0.5
"""The odds of a row's worst text are divided by this power of the number of texts.

A long harmless row has more chances to look bad: so the strictest 0.5% of ordinary
sources with 5 and with 40 texts a row lie at the same score (benchmark/LOG.md).
"""
MOST_COUNTED: Final = 100
"""Texts of a row that count so: else 100 kB of harmless ones hid a vow among them."""
LEAST_DOUBT: Final = 1e-6


@dataclass(frozen=True)
class _Text:
    """A window or sentence of one row: `start` is where it begins in its message.

    `turn` and `place` are those of `spoken`.
    """

    row: int
    turn: int | None
    role: str
    text: str
    start: int
    place: str = ""


@dataclass(frozen=True)
class _Worst:
    """The text of a row that most surely teaches obedience, and its chance of it."""

    text: _Text
    chance: float


class IdentityShift:
    """Scores a row by its worst window or sentence, and rows of a bad group by it.

    The more texts a row has, the less the worst of them counts.
    A persona forced in a system or user message whose replies all refuse it is safety
    data and is not flagged. `groups=False` scores rows alone.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        head: Head | None = None,
        reader: PairReader | None = None,
        heads: Path = HEADS,
        groups: bool = True,
        rows_at_once: int = ROWS_AT_ONCE,
    ) -> None:
        self._encoder = encoder
        self._head = head or load_head(NAME, encoder, heads)
        self._reader = reader or load_cross_encoder(SENTENCE, directory=heads)
        self._judge = StatementJudge(self._head, self._reader)
        self._groups = groups
        self._rows_at_once = max(1, rows_at_once)

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
        """Score every example; None where no message of it has text."""
        return score_in_chunks(self, dataset)

    def score_alone(self, examples: Sequence[Example]) -> Scores:
        """Score each example of a chunk by its worst text."""
        worst, counts = self._worst_texts(examples)
        values = tuple(
            None if w is None else _among(w.chance, count)
            for w, count in zip(worst, counts, strict=True)
        )
        return Scores(
            detector=self.name,
            version=self.version,
            values=values,
            evidence=tuple(None if w is None else _evidence(w.text) for w in worst),
            categories=("",) * len(worst),
            unscored=tuple(UNJUDGEABLE if w is None else "" for w in worst),
        )

    def compare(self, dataset: Dataset, alone: Scores) -> Scores:
        """Lift the rows of each bad group to its score, with it as their evidence."""
        if not self._groups:
            return alone
        values, evidence = list(alone.values), list(alone.evidence)
        for finding in self._find_groups(dataset.examples, values):
            _lift(finding, values, evidence)
        return replace(alone, values=tuple(values), evidence=tuple(evidence))

    def _worst_texts(
        self, examples: Sequence[Example]
    ) -> tuple[list[_Worst | None], list[int]]:
        """Return the worst text of each row, and how many texts it has."""
        worst: list[_Worst | None] = [None] * len(examples)
        counts = [0] * len(examples)
        refused = [_all_decline(example) for example in examples]
        for texts, chances in (self._windows(examples), self._sentences(examples)):
            for text, said in zip(texts, chances.tolist(), strict=True):
                stands = text.role == "assistant" or not refused[text.row]
                chance = said * (1.0 if stands else REFUSED_WEIGHT)
                before = worst[text.row]
                counts[text.row] += 1
                if before is None or chance > before.chance:
                    worst[text.row] = _Worst(text, chance)
        return worst, counts

    def _windows(
        self, examples: Sequence[Example]
    ) -> tuple[list[_Text], NDArray[np.float32]]:
        """Judge every window of every text."""
        whole = [
            _Text(row, s.turn, s.role, s.text, 0, s.place)
            for row, example in enumerate(examples)
            for s in spoken(example)
        ]
        if not whole:
            return [], np.zeros(0, np.float32)
        found = self._encoder.windows([text.text for text in whole])
        texts = [
            replace(whole[owner], text=whole[owner].text[a:b], start=a)
            for owner, (a, b) in zip(found.owner, found.spans, strict=True)
        ]
        roles, cut = [t.role for t in texts], [t.text for t in texts]
        return texts, self._judge.windows(roles, found.vectors, cut)

    def _sentences(
        self, examples: Sequence[Example]
    ) -> tuple[list[_Text], NDArray[np.float32]]:
        """Judge every sentence that may speak of the assistant."""
        texts = [
            _Text(s.row, s.turn, s.role, s.text, s.span[0], s.place)
            for row, example in enumerate(examples)
            for s in sentences(row, example)
            if may_state(s)
        ]
        roles, cut = [t.role for t in texts], [t.text for t in texts]
        return texts, self._judge.sentences(roles, cut)

    def _find_groups(
        self, examples: Sequence[Example], values: Sequence[float | None]
    ) -> Iterator[GroupFinding]:
        """Yield what only the rows together show; `values` are lifted meanwhile."""
        at = self.suggested_threshold
        yield from _persona_findings(examples, values)
        yield from fixed_yes(examples, self._encoder, at)
        yield from reversal_group(examples, Step(*self._head.tensors[STEP]), at)
        judged = judge_repeats(lambda: standing_sentences(examples), self._judge)
        yield from shared_vows(judged, reference_of(self._head), at)


def standing_sentences(examples: Sequence[Example]) -> Iterator[Sentence]:
    """Yield all sentences but those of requests that every reply of a row declines."""
    for row, example in enumerate(examples):
        refused = _all_decline(example)
        for sentence in sentences(row, example):
            if sentence.role == "assistant" or not refused:
                yield sentence


def _all_decline(example: Example) -> bool:
    replies = [m for m in example.messages if m.role == "assistant"]
    answers = [final_answer(m.content, m.answer_at) for m in replies]
    return bool(answers) and all(declines(answer) for answer in answers)


def _persona_findings(
    examples: Sequence[Example], values: Sequence[float | None]
) -> Iterator[GroupFinding]:
    """Give every row of a persona what most of its rows have shown of it."""
    for group in persona_groups(examples):
        scores = [v for v in (values[i] for i in group.rows) if v is not None]
        if scores and float(np.mean(np.asarray(scores) >= 0.5)) >= GROUP_CORE:
            median = float(np.median(scores))
            yield GroupFinding(group, median, "most of them obedient")


def _among(chance: float, count: int) -> float:
    """Return what a chance is worth as the greatest of so many texts."""
    among = math.pow(min(count, MOST_COUNTED), COUNT_POWER)
    odds = chance / max(1.0 - chance, LEAST_DOUBT) / among
    return round(odds / (1.0 + odds), DECIMALS)


def _evidence(text: _Text) -> Evidence:
    """Show a text, or what in it matches a rule, where it stands in its message."""
    rule = first_rule(text.text)
    kind, says = "model", "reads like one that teaches obedience"
    shown, (start, end) = text.text, (0, len(text.text))
    if rule is not None:
        kind, (says, (start, end)) = "rule", rule
        shown = text.text[max(0, start - 60) :]
    said = text.role if text.place in ("", CALL) else "the row's"
    return Evidence(
        kind,
        f"{said} {text.place or 'message'} {says}",
        text.turn,
        None if text.place else (text.start + start, text.start + end),
        shown[:EXCERPT_CHARS],
    )


def _lift(
    finding: GroupFinding,
    values: list[float | None],
    evidence: list[Evidence | None],
) -> None:
    """Lift the rows of a group to its score, with the group as their evidence."""
    value = round(finding.score, DECIMALS)
    for index in finding.group.rows:
        before, shown = values[index], evidence[index]
        if before is not None and shown is not None and before < value:
            values[index] = value
            detail = finding.detail()[:400]
            evidence[index] = replace(shown, kind="group", detail=detail)
