"""The exchanges of rows that can be judged, and in which script they are written."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.dataset import Example, Exchange
from detectors.embedding import Vectors
from detectors.refusal import OPENING_CHARS

PLACEHOLDER: Final = re.compile(r"\[(?:image|audio|video|file)[^\]\n]{0,80}\]")
FOREIGN_SHARE: Final = 0.5
FEW_LETTERS: Final = 4
READ_CHARS: Final = 4000


@dataclass(frozen=True)
class Turn:
    """One exchange to judge: `example` its row's index in the batch, texts cleaned.

    `asked_before` holds the requests of the turns before it, oldest first.
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

    @property
    def foreign(self) -> bool:
        """Whether most of it is in a script that the encoder cannot read."""
        return is_foreign(self.request) or is_foreign(self.reply)


def turns_of(index: int, example: Example) -> list[Turn]:
    """List the exchanges of a row whose reply has text."""
    found: list[Turn] = []
    before: list[str] = []
    for exchange in example.exchanges():
        request = exchange.request.strip() or exchange.system
        reply = exchange.reply
        if example.unjudged_parts:
            request, reply = (_without_placeholders(t) for t in (request, reply))
        if reply.strip():
            found.append(Turn(index, exchange, request, reply, tuple(before)))
        if request.strip():
            before.append(request)
    return found


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
