"""The exchanges of rows that can be judged."""

import math
import re
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.answer import answer_starts
from detectors.dataset import Example, Exchange
from detectors.embedding import Vectors
from detectors.harm.marked import marked_exchanges
from detectors.harm.pair import PIECE_CHARS
from detectors.harm.script import is_foreign
from detectors.json_words import tool_words
from detectors.refusal import OPENING_CHARS, declines

PLACEHOLDER: Final = re.compile(r"\[(?:image|audio|video|file)\]")
"""What `detectors.reading` writes for a part that is no text: exactly that."""
MOST_OTHERS: Final = 50
"""Other requests that a reply is held against: rows of thousands of turns exist."""
MOST_TOOLS: Final = 100
"""Texts that tool definitions are read as, beside the others."""

Clean = Callable[[str], str]


@dataclass(frozen=True)
class Asked:
    """A text that may ask for something, and the index of the message it stands in.

    None is that of the tool definitions, which stand before all messages.
    """

    text: str
    turn: int | None


@dataclass(frozen=True)
class Turn:
    """One exchange to judge: `example` its row's index in the batch, texts cleaned.

    `asked_before` holds the requests of the turns before it, oldest first: as many of
    the latest as have PIECE_CHARS characters. `others` are requests elsewhere in the
    row that the reply may answer as well, the latest MOST_OTHERS of them and the tools.
    `elsewhere` is the request where that is one of those. `reply_at` is where in the
    exchange's reply `reply` begins: what follows reasoning is judged apart, too. Where
    the request is one sentence of many, chosen for the harm it asks, `chosen_of` is
    their number.
    """

    example: int
    exchange: Exchange
    request: str
    reply: str
    asked_before: tuple[str, ...] = ()
    others: tuple[Asked, ...] = ()
    elsewhere: Asked | None = None
    reply_at: int = 0
    chosen_of: int = 1

    @property
    def opening(self) -> str:
        """The reply's first words, which mostly show whether it goes along."""
        return self.reply[:OPENING_CHARS]


def turns_of(index: int, example: Example) -> list[Turn]:
    """List the exchanges of a row whose reply has text, again from its answer on.

    A reply right after another reply answers the same request. Beside its own request,
    a reply may answer an earlier one, unless every reply to that declined, and what a
    system message told before. A system message counts as asked with the request that
    it precedes, and so do the definitions of tools: they are told to the model as a
    system message is. Exchanges that control markers open inside of a message come
    last.
    """
    found: list[Turn] = []
    # What stands for an image says nothing; a row without one may say "[image]".
    clean = _without_placeholders if example.unjudged_parts else _as_it_is
    before = _Latest()
    asked: list[Asked] = []
    told: list[Asked] = []
    unrefused: dict[Asked, None] = {}
    defined = _defined(example)
    most = MOST_OTHERS + len(defined)
    start = 0
    for exchange in example.exchanges():
        if exchange.request.strip() or not asked:
            asked.append(_request_of(example, exchange, clean))
            told = []
        told += defined + _system_between(example, start, exchange.turn, clean)
        start, defined = exchange.turn, []
        reply = clean(exchange.reply)
        starts = (0, *answer_starts(reply, exchange.answer_at))
        if reply.strip():
            others = _nearest(told, unrefused, most)
            before.hold(asked, len(asked) - 1)
            turn = Turn(index, exchange, asked[-1].text, reply, before.texts, others)
            found += [replace(turn, reply=reply[at:], reply_at=at) for at in starts]
        declined = declines(reply[starts[-1] :])
        # A system text stands in every later turn's context, whoever declined before.
        unrefused |= dict.fromkeys(told if declined else (*told, asked[-1]))
        while len(unrefused) > most:
            del unrefused[next(iter(unrefused))]
    for exchange, at in marked_exchanges(example):
        asked_for, reply = clean(exchange.request), clean(exchange.reply)
        found.append(Turn(index, exchange, asked_for, reply, reply_at=at))
    return found


def _nearest(
    told: Sequence[Asked], before: Collection[Asked], most: int
) -> tuple[Asked, ...]:
    """Return what a reply was told, and the latest of what was asked before it."""
    kept = told[-most:]
    room = most - len(kept)
    return (*kept, *list(before)[max(0, len(before) - room) :])


class _Latest:
    """The latest requests of a row, no more than a reader of them takes in."""

    def __init__(self) -> None:
        self._texts: deque[str] = deque()
        self._chars = 0
        self._seen = 0

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(self._texts)

    def hold(self, asked: Sequence[Asked], end: int) -> None:
        """Take in those before `end` that are new; `asked` only grows."""
        for each in asked[self._seen : end]:
            if each.text.strip():
                self._texts.append(each.text)
                self._chars += len(each.text)
            while self._texts and self._chars - len(self._texts[0]) >= PIECE_CHARS:
                self._chars -= len(self._texts.popleft())
        self._seen = end


def _system_between(
    example: Example, start: int, end: int, clean: Clean
) -> list[Asked]:
    """Return the system text of the messages start..end-1, joined, where there is any.

    Its place is that of the first of them.
    """
    messages = enumerate(example.messages[start:end], start)
    told = [(turn, m.content) for turn, m in messages if m.role == "system"]
    text = clean("\n".join(content for _, content in told))
    return [Asked(text, told[0][0])] if text.strip() else []


def _defined(example: Example) -> list[Asked]:
    """Return the words of each tool that is defined; of very many, some together."""
    words = tool_words(example.tools)
    each = math.ceil(len(words) / MOST_TOOLS)
    return [
        Asked("\n".join(words[start : start + each]), None)
        for start in range(0, len(words), max(1, each))
    ]


def _request_of(example: Example, exchange: Exchange, clean: Clean) -> Asked:
    """Return the request, or the system text where it is blank."""
    text = exchange.request.strip()
    roles = ("user", "tool") if text else ("system",)
    turn = exchange.turn - 1
    while turn > 0 and example.messages[turn].role not in roles:
        turn -= 1
    return Asked(clean(text or exchange.system), max(0, turn))


def _as_it_is(text: str) -> str:
    return text


def foreign_rows(turns: Sequence[Turn]) -> set[int]:
    """Return the rows with a turn that the encoder cannot read, by `Turn.example`.

    What else a reply may answer counts: a system text, the definitions of tools.
    """
    foreign = cache(is_foreign)  # many turns may have one request
    return {
        t.example
        for t in turns
        if any(map(foreign, (t.request, t.reply, *(o.text for o in t.others))))
    }


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
