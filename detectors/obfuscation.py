"""Text that is encoded, enciphered or hidden, decoded and judged; text none can read.

Levels of a score: 0 nothing is hidden; up to 0.4 what is hidden stands there in plain
too, or is a scrap; 0.6 it cannot be read; 0.7 language is hidden; from 0.85 what is
hidden is harmful to the explicit-harm head once decoded. They are levels for a
reviewer, not frequencies.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from detectors.dataset import Dataset, Message
from detectors.decoding.hidden import MORE
from detectors.decoding.language import Language
from detectors.decoding.row import Found, Row, content_chars, read_rows
from detectors.detector import EXCERPT_CHARS, Evidence, Scores
from detectors.embedding import Encoder
from detectors.explicit_harm import ExplicitHarm
from detectors.head import HEADS, Head, load_head
from detectors.taxonomy import CATEGORIES, DETECT_ONLY

NAME: Final = "obfuscation"
CODE_VERSION: Final = "5"
ROWS_AT_ONCE: Final = 256
DECIMALS: Final = 4
SCRAP: Final = 0.2
SHOWN: Final = 0.3
UNREADABLE: Final = 0.6
HIDDEN: Final = 0.7
HARMFUL: Final = 0.85
BELOW: Final = 0.09
"""What harm below the harm head's threshold adds, so that levels stay apart."""
SCRAP_LETTERS: Final = 12
PLAIN_SHARE: Final = 0.8
"""Share of the decoded words that must stand in the rest of the row: it is shown."""
DECODED_CHARS: Final = 160
UNJUDGEABLE: Final = "no message with text in this row: nothing to judge"
NOTHING: Final = Evidence("rule", "nothing hidden was found: it reads as text or data")
_WORD: Final = re.compile(r"\w{3,}")


@dataclass(frozen=True, slots=True)
class _Verdict:
    value: float
    evidence: Evidence
    category: str = ""


@dataclass(frozen=True, slots=True)
class _Harm:
    """What the explicit-harm head says of the decoded row; `sure` at its threshold."""

    score: float = 0.0
    category: str = ""
    threshold: float = 1.0

    @property
    def sure(self) -> bool:
        return self.score >= self.threshold

    def raised(self, level: float) -> float:
        """Return a level raised by the harm of what was decoded."""
        if not self.sure:
            return level + BELOW * self.score / self.threshold
        beyond = (self.score - self.threshold) / max(1.0 - self.threshold, 1e-6)
        return HARMFUL + (1.0 - HARMFUL) * beyond


class Obfuscation:
    """Scores a row by the gravest thing it hides.

    The explicit-harm detector is asked only about rows in which something was decoded.
    `rows_at_once` bounds memory and does not change a score.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        head: Head | None = None,
        heads: Path = HEADS,
        harm: ExplicitHarm | None = None,
        rows_at_once: int = ROWS_AT_ONCE,
    ) -> None:
        self._head = head or load_head(NAME, encoder, heads)
        self._language = Language(self._head)
        self._harm = harm or ExplicitHarm(encoder)
        self._rows_at_once = max(1, rows_at_once)

    @property
    def name(self) -> str:
        """The key of this detector in reports."""
        return NAME

    @property
    def version(self) -> str:
        """Code version, head digest, and the version of the harm head it asks."""
        return f"{CODE_VERSION}+{self._head.digest[:12]}+{self._harm.version}"

    @property
    def suggested_threshold(self) -> float:
        """The score at which at most 0.5% of ordinary rows are flagged."""
        return self._head.suggested_threshold

    def score(self, dataset: Dataset) -> Scores:
        """Score every example; None where no message of it has text."""
        rows = read_rows(dataset, self._language, self._rows_at_once)
        harm = self._judge(rows)
        said = [
            _verdict(row, harm.get(index, _Harm())) if _has_text(row.messages) else None
            for index, row in enumerate(rows)
        ]
        return Scores(
            detector=self.name,
            version=self.version,
            values=tuple(None if v is None else v.value for v in said),
            evidence=tuple(None if v is None else v.evidence for v in said),
            categories=tuple("" if v is None else v.category for v in said),
            unscored=tuple(UNJUDGEABLE if v is None else "" for v in said),
        )

    def _judge(self, rows: list[Row]) -> dict[int, _Harm]:
        """Explicit harm of the rows in which something was decoded, by index."""
        chosen = [index for index, row in enumerate(rows) if row.readable]
        decoded = tuple(rows[index].decoded() for index in chosen)
        if not decoded:
            return {}
        scores = self._harm.score(Dataset("decoded", decoded))
        threshold = self._harm.suggested_threshold
        return {
            index: _Harm(value, category, threshold)
            for index, value, category in zip(
                chosen, scores.values, scores.categories, strict=True
            )
            if value is not None
        }


def _has_text(messages: Sequence[Message]) -> bool:
    return any(m.content.strip() or m.tool_calls for m in messages)


def _verdict(row: Row, harm: _Harm) -> _Verdict:
    """Judge a row by its gravest finding; ties go to the first."""
    known = set(_WORD.findall(row.plain().lower())) if row.found else set()
    verdicts = [_of_found(row, found, known, harm) for found in row.found]
    if row.codebook is not None:
        verdicts.append(_of_codebook(row, harm))
    return max(verdicts, key=lambda v: v.value, default=_Verdict(0.0, NOTHING))


def _of_found(row: Row, found: Found, known: set[str], harm: _Harm) -> _Verdict:
    hidden = found.hidden
    place = row.place(found.turn)
    if not hidden.readable:
        why = "have a look" if hidden.kind == MORE else "no known encoding, no language"
        detail, value = f"{hidden.kind} in {place}: {why}", UNREADABLE
        return _Verdict(value, _evidence(row, found.turn, hidden.span, detail))
    if hidden.letters < SCRAP_LETTERS:
        level, why = SCRAP, "; a scrap"
        harm = _Harm()
    elif hidden.whole and _is_shown(hidden.text, known):
        level, why = SHOWN, "; it stands in this row in plain too"
    else:
        level, why = HIDDEN, ""
    detail = f"{hidden.kind} in {place} says {_excerpt(hidden.text)}{why}"
    return _found(row, found.turn, hidden.span, detail, level, harm)


def _of_codebook(row: Row, harm: _Harm) -> _Verdict:
    """Judge a row by a code: where it is stated, and what the row says in it."""
    book = row.codebook
    assert book is not None
    pairs = ", ".join(f"{a!r} for {b!r}" for a, b in list(book.words.items())[:4])
    if row.turn is None:
        detail = f"uses the code that other rows state: {pairs}"
        return _found(row, None, None, detail, 0.0, harm)
    level = HIDDEN if book.secret else 0.0
    detail = f"states a code and uses it: {pairs}"
    return _found(row, row.turn, book.span, detail, level, harm)


def _found(
    row: Row,
    turn: int | None,
    span: tuple[int, int] | None,
    detail: str,
    level: float,
    harm: _Harm,
) -> _Verdict:
    if not harm.sure:
        value = round(harm.raised(level), DECIMALS)
        return _Verdict(value, _evidence(row, turn, span, detail))
    kept = "" if harm.category in DETECT_ONLY else f": {detail}"
    words = f"decoded, it complies with {CATEGORIES[harm.category]!r}{kept}"
    evidence = _evidence(row, turn, span, words)
    if harm.category in DETECT_ONLY:
        evidence = replace(evidence, excerpt="")
    return _Verdict(round(harm.raised(level), DECIMALS), evidence, harm.category)


def _evidence(
    row: Row, turn: int | None, span: tuple[int, int] | None, detail: str
) -> Evidence:
    if turn is None or span is None:
        return Evidence("rule", detail[:400])
    message = row.example.messages[turn]
    start, end = span
    excerpt = message.content[start : min(end, start + EXCERPT_CHARS)]
    if turn == len(row.messages):
        return Evidence("rule", detail[:400], None, None, excerpt)
    chars = content_chars(message)
    if start >= chars:
        detail = f"in a tool call: {detail}"
        return Evidence("rule", detail[:400], turn, None, excerpt)
    return Evidence("rule", detail[:400], turn, (start, min(end, chars)), excerpt)


def _excerpt(text: str) -> str:
    short = " ".join(text[: 2 * DECODED_CHARS].split())
    return repr(short[:DECODED_CHARS])


def _is_shown(text: str, known: set[str]) -> bool:
    """Say whether the words of a decoded text are among those seen in plain."""
    words = set(_WORD.findall(text.lower()))
    return bool(words) and len(words & known) >= PLAIN_SHARE * len(words)
