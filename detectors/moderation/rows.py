"""Rows to exchanges and back: a row is as grave as its gravest exchange."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from detectors.dataset import Example, Exchange
from detectors.moderation.moderator import (
    Moderation,
    Moderator,
    Progress,
    Subject,
    Usage,
    Verdict,
)

NO_REPLY: Final = "no reply with text in this row"
MOST_CHARS: Final = 4_000_000
"""Characters of a row's exchanges: each of thousands may repeat a long system text."""
TOO_LONG: Final = (
    f"more than {MOST_CHARS:,} characters with the system text before each exchange: "
    "split the row"
)


@dataclass(frozen=True, slots=True)
class RowVerdict:
    """What moderation says of a row: a verdict, or the reason why there is none.

    `turn` is the 0-based index of the reply that decided, None where none did.
    """

    verdict: Verdict | None
    reason: str = ""
    turn: int | None = None


@dataclass(frozen=True)
class RowModeration:
    """A provider's word on every row, aligned with the rows given."""

    rows: tuple[RowVerdict, ...]
    usage: Usage


def moderate_rows(
    moderator: Moderator,
    examples: Sequence[Example],
    *,
    progress: Progress | None = None,
) -> RowModeration:
    """Moderate system text, request and reply of each exchange; no more is sent.

    Of a preference row that is the preferred reply: harm in the other is usual. Of a
    row of more than MOST_CHARS nothing is sent, and TOO_LONG is its reason.
    """
    found = [_exchanges(example) for example in examples]
    subjects = [
        subject for each in found if not isinstance(each, str) for _, subject in each
    ]
    said = moderator.moderate(subjects, progress=progress)
    rows, place = [], 0
    for each in found:
        if isinstance(each, str):
            rows.append(RowVerdict(None, each))
            continue
        rows.append(_fold([turn for turn, _ in each], said, place))
        place += len(each)
    return RowModeration(tuple(rows), said.usage)


def _exchanges(example: Example) -> list[tuple[int, Subject]] | str:
    """Return the exchanges with their turn, or why none of the row is sent."""
    found = [each for each in example.exchanges() if each.reply.strip()]
    if sum(len(e.system) + len(e.request) + len(e.reply) for e in found) > MOST_CHARS:
        return TOO_LONG
    return [(exchange.turn, _subject(exchange)) for exchange in found] or NO_REPLY


def _subject(exchange: Exchange) -> Subject:
    return Subject(
        exchange.request, exchange.reply, exchange.system, exchange.answer_at
    )


def _fold(turns: Sequence[int], said: Moderation, place: int) -> RowVerdict:
    """Fold the verdicts from `place` on; a flagged exchange outranks a gap."""
    end = place + len(turns)
    heard = list(zip(said.verdicts[place:end], turns, strict=True))
    judged = [(verdict, turn) for verdict, turn in heard if verdict is not None]
    worst = max(judged, key=lambda pair: pair[0].rank, default=None)
    if worst is not None and (worst[0].flagged or len(judged) == len(heard)):
        return RowVerdict(worst[0], turn=worst[1])
    return RowVerdict(None, next(why for why in said.reasons[place:end] if why))
