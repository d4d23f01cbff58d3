"""The exchanges of rows that can be judged, and in which script they are written."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.dataset import Example, Exchange
from detectors.embedding import Vectors
from detectors.refusal import OPENING_CHARS, declines

PLACEHOLDER: Final = re.compile(r"\[(?:image|audio|video|file)[^\]\n]{0,80}\]")
FOREIGN_SHARE: Final = 0.5
FEW_LETTERS: Final = 4
READ_CHARS: Final = 4000


@dataclass(frozen=True)
class Asked:
    """A text that may ask for something, and the index of the message it stands in."""

    text: str
    turn: int


@dataclass(frozen=True)
class Turn:
    """One exchange to judge: `example` its row's index in the batch, texts cleaned.

    `asked_before` holds the requests of the turns before it, oldest first. `others`
    are requests elsewhere in the row that the reply may answer as well. `asked_at` is
    the message with the request where that is one of those.
    """

    example: int
    exchange: Exchange
    request: str
    reply: str
    asked_before: tuple[str, ...] = ()
    others: tuple[Asked, ...] = ()
    asked_at: int | None = None

    @property
    def opening(self) -> str:
        """The reply's first words, which mostly show whether it goes along."""
        return self.reply[:OPENING_CHARS]

    @property
    def foreign(self) -> bool:
        """Whether most of it is in a script that the encoder cannot read."""
        return is_foreign(self.request) or is_foreign(self.reply)


def turns_of(index: int, example: Example) -> list[Turn]:
    """List the exchanges of a row whose reply has text.

    A reply right after another reply answers the same request. Beside its own request,
    a reply may answer an earlier one, unless every reply to that declined. A system
    message counts as asked with the request that it precedes.
    """
    found: list[Turn] = []
    asked: list[Asked] = []
    told: list[Asked] = []
    unrefused: dict[int, Asked] = {}
    start = 0
    for exchange in example.exchanges():
        if exchange.request.strip() or not asked:
            asked.append(_request_of(example, exchange))
            told = []
        told += _system_between(example, start, exchange.turn)
        start = exchange.turn
        reply = _cleaned(example, exchange.reply)
        if reply.strip():
            before = tuple(a.text for a in asked[:-1] if a.text.strip())
            others = (*told, *unrefused.values())
            turn = Turn(index, exchange, asked[-1].text, reply, before, others)
            found.append(turn)
        if not declines(reply):
            unrefused |= {each.turn: each for each in (*told, asked[-1])}
    return found


def _system_between(example: Example, start: int, end: int) -> list[Asked]:
    """Return the system text of the messages start..end-1, joined, where there is any.

    Its place is that of the first of them.
    """
    messages = enumerate(example.messages[start:end], start)
    told = [(turn, m.content) for turn, m in messages if m.role == "system"]
    text = _cleaned(example, "\n".join(content for _, content in told))
    return [Asked(text, told[0][0])] if text.strip() else []


def _request_of(example: Example, exchange: Exchange) -> Asked:
    """Return the request, or the system text where it is blank."""
    text = exchange.request.strip()
    roles = ("user", "tool") if text else ("system",)
    before = enumerate(example.messages[: exchange.turn])
    turn = max((i for i, m in before if m.role in roles), default=0)
    return Asked(_cleaned(example, text or exchange.system), turn)


def _cleaned(example: Example, text: str) -> str:
    """Blank out what stands for the images of a row that has some."""
    return _without_placeholders(text) if example.unjudged_parts else text


def is_foreign(text: str) -> bool:
    """Say whether at least half of the letters are not Latin ones.

    MiniLM was trained on English: other Latin-script languages carry over in part,
    other scripts fall apart into characters. Styled letters count as what they
    resemble (NFKC). Texts of fewer than FEW_LETTERS letters are not foreign.
    """
    letters = [
        c for c in unicodedata.normalize("NFKC", text[:READ_CHARS]) if c.isalpha()
    ]
    if len(letters) < FEW_LETTERS:
        return False
    latin = sum(c.isascii() or "LATIN" in unicodedata.name(c, "") for c in letters)
    return len(letters) - latin >= FOREIGN_SHARE * len(letters)


def argmax_of(
    values: Vectors, owner: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Index of the first greatest value of each owner 0..count-1: (count,)."""
    order = np.lexsort((np.arange(len(values)), -values, owner))
    starts = np.searchsorted(owner[order], np.arange(count))
    return np.asarray(order[starts], np.int64)


def _without_placeholders(text: str) -> str:
    """Blank out "[image]" and the like, keeping every character's place."""
    return PLACEHOLDER.sub(lambda m: " " * len(m.group()), text)
