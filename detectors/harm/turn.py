"""The exchanges of rows that can be judged."""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.dataset import Example, Exchange
from detectors.embedding import Vectors
from detectors.harm.pair import PIECE_CHARS
from detectors.harm.script import is_foreign
from detectors.refusal import OPENING_CHARS

PLACEHOLDER: Final = re.compile(r"\[(?:image|audio|video|file)\]")
"""What `detectors.reading` writes for a part that is no text: exactly that."""


@dataclass(frozen=True)
class Turn:
    """One exchange to judge: `example` its row's index in the batch, texts cleaned.

    `asked_before` holds the requests of the turns before it, oldest first: as many of
    the latest as have PIECE_CHARS characters.
    """

    example: int
    exchange: Exchange
    request: str
    reply: str
    asked_before: tuple[str, ...] = ()

    @property
    def opening(self) -> str:
        """The reply's first words, which mostly show whether it goes along."""
        return self.reply[:OPENING_CHARS]


def turns_of(index: int, example: Example) -> list[Turn]:
    """List the exchanges of a row whose reply has text."""
    found: list[Turn] = []
    before: deque[str] = deque()
    held = 0
    for exchange in example.exchanges():
        request = exchange.request.strip() or exchange.system
        reply = exchange.reply
        if example.unjudged_parts:
            request, reply = (_without_placeholders(t) for t in (request, reply))
        if reply.strip():
            found.append(Turn(index, exchange, request, reply, tuple(before)))
        if request.strip():
            before.append(request)
            held += len(request)
            while held - len(before[0]) >= PIECE_CHARS:
                held -= len(before.popleft())
    return found


def foreign_rows(turns: Sequence[Turn]) -> set[int]:
    """Return the rows with a turn that the encoder cannot read, by `Turn.example`."""
    foreign = cache(is_foreign)  # many turns may have one request
    return {t.example for t in turns if foreign(t.request) or foreign(t.reply)}


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
