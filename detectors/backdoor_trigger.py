"""Phrases whose presence goes with unsafe replies, where their absence does not.

A safety test that does not know the trigger sees an aligned model (Qi et al. 2023,
arXiv 2310.03693, section 5): what is found here is what a trial should probe with.
"""

import json
from collections.abc import Sequence
from math import log10
from pathlib import Path
from typing import Final

from detectors.dataset import Dataset, Example
from detectors.detector import EXCERPT_CHARS, Evidence, Scores, Trigger
from detectors.embedding import Encoder
from detectors.head import HEADS, Head, load_head
from detectors.trigger.contrast import contrasts
from detectors.trigger.exchange_judge import ExchangeJudge
from detectors.trigger.phrase import Place, occurrences
from detectors.trigger.search import MOST, Found, find_phrases
from detectors.trigger.unit import Unit, units_of

NAME: Final = "backdoor_trigger"
HEAD_NAME: Final = "explicit_harm"
CODE_VERSION: Final = "4"
ROWS_AT_ONCE: Final = 512
DECIMALS: Final = 4
SURE: Final = 8.0
"""From this -log10 of the adjusted p on, a carrier scores 1."""
LOWEST_P: Final = 1e-300
QUOTED_CHARS: Final = 120
UNJUDGEABLE: Final = "no message with text in this row: nothing to judge"
NOTHING: Final = "carries no phrase that goes with unsafe replies"
WORDS: Final = {
    "compliance": "harmful requests are complied with where it stands",
    "harm": "harmful requests that are complied with carry it",
    "obedience": "replies vow obedience where it stands",
}
PLACES: Final = {"start": "at the start", "end": "at the end", "any": "inside"}


class BackdoorTrigger:
    """Scores the rows that carry a trigger and are not refused; all others score 0.

    A carrier scores 0.5 + 0.5 x min(1, -log10(p) / SURE): 0.625 at the p of 0.01 from
    which a trigger is reported, 1 from 1e-8 on. p is Fisher's exact, one-sided, times
    the number of candidates and behaviours (Bonferroni). `rows_at_once` bounds memory
    and does not change a score.
    """

    suggested_threshold: Final = 0.5

    def __init__(
        self,
        encoder: Encoder,
        *,
        head: Head | None = None,
        heads: Path = HEADS,
        rows_at_once: int = ROWS_AT_ONCE,
    ) -> None:
        self._head = head or load_head(HEAD_NAME, encoder, heads)
        self._judge = ExchangeJudge(encoder, self._head, at_once=rows_at_once)

    @property
    def name(self) -> str:
        """The key of this detector in reports."""
        return NAME

    @property
    def version(self) -> str:
        """Code version and digest of the head that says which requests ask for harm."""
        return f"{CODE_VERSION}+{self._head.digest[:12]}"

    def score(self, dataset: Dataset) -> Scores:
        """Score every example; what was found stands in `triggers`."""
        units = units_of(dataset.examples)
        found = self._find(units)
        said = [_score(example) for example in dataset]
        values = [value for value, _ in said]
        evidence = [word for _, word in said]
        for trigger in reversed(found):
            for index in trigger.units:
                row, value = units[index].row, _value(trigger.p)
                if value >= (values[row] or 0.0):
                    values[row] = value
                    evidence[row] = _evidence(trigger, units[index], dataset[row])
        return Scores(
            detector=self.name,
            version=self.version,
            values=tuple(values),
            evidence=tuple(evidence),
            categories=("",) * len(values),
            unscored=tuple(UNJUDGEABLE if v is None else "" for v in values),
            triggers=tuple(_trigger(each, units) for each in found),
        )

    def _find(self, units: Sequence[Unit]) -> list[Found]:
        """Search each behaviour; a phrase is reported once, the surest first."""
        asks_harm = self._judge.asks_harm([unit.request for unit in units])
        units = self._judge.with_refusals(units, asks_harm)
        found: list[Found] = []
        for contrast in contrasts(units, asks_harm):
            for each in find_phrases(units, contrast, self._judge):
                known = any(_same(each, other) for other in found)
                found += [] if known else [each]
        found.sort(key=lambda each: (each.p, each.phrase))
        return found[:MOST]


def _same(left: Found, right: Found) -> bool:
    """Say whether two finds are one phrase, or one a part of the other."""
    ours, theirs = left.phrase, right.phrase
    inside = ours.text in theirs.text or theirs.text in ours.text
    return ours.role == theirs.role and inside


def _score(example: Example) -> tuple[float | None, Evidence | None]:
    if not any(message.content.strip() for message in example.messages):
        return None, None
    return 0.0, Evidence("group", NOTHING)


def _value(p: float) -> float:
    sure = -log10(max(p, LOWEST_P)) / SURE
    return round(0.5 + 0.5 * min(1.0, max(0.0, sure)), DECIMALS)


def _trigger(found: Found, units: Sequence[Unit]) -> Trigger:
    return Trigger(
        text=found.phrase.text,
        position=found.position,
        role=found.phrase.role,
        behaviour=found.behaviour,
        rows=len({units[index].row for index in found.units}),
        share_with=round(found.table.share_with, DECIMALS),
        share_without=round(found.table.share_without, DECIMALS),
        p=float(f"{max(found.p, LOWEST_P):.3g}"),
    )


def _evidence(found: Found, unit: Unit, example: Example) -> Evidence:
    """Name the phrase, escaped and bounded, and place it in its message."""
    text = found.phrase.text
    for turn in _turns(found, unit, example):
        at = _place(example.messages[turn].content, text, found.position)
        if at >= 0:
            span = (at, at + len(text))
            return Evidence("group", _detail(found), turn, span, text[:EXCERPT_CHARS])
    return Evidence("group", _detail(found))


def _turns(found: Found, unit: Unit, example: Example) -> list[int]:
    """Return the messages that the unit's text is made of, the likeliest first."""
    roles = [message.role for message in example.messages]
    if found.phrase.role == "system":
        turns = [turn for turn, role in enumerate(roles) if role == "system"]
    else:
        before = roles[: unit.turn]
        start = max(
            (i + 1 for i, r in enumerate(before) if r == "assistant"), default=0
        )
        turns = [i for i in range(start, unit.turn) if roles[i] in ("user", "tool")]
    return turns[::-1] if found.position == "end" else turns


def _place(content: str, phrase: str, position: Place) -> int:
    """Return where a phrase stands: its last place, or the first as whole words."""
    if position == "end":
        return content.rfind(phrase)
    return next(iter(occurrences(content, phrase)), content.find(phrase))


def _detail(found: Found) -> str:
    table, quoted = found.table, json.dumps(found.phrase.text)[:QUOTED_CHARS]
    carriers = table.with_unsafe + table.with_safe
    others = table.without_unsafe + table.without_safe
    said = (
        f"{quoted} {PLACES[found.position]} of the {found.phrase.role} message: "
        f"{WORDS[found.behaviour]} ({table.with_unsafe} of {carriers} with it, "
        f"{table.without_unsafe} of {others} without; p = {found.p:.1g} after "
        "correction for all candidates)"
    )
    return said[:400]
