"""Units: one request with its reply, and what is known of the safety of both."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from detectors.answer import final_answer
from detectors.dataset import Example
from detectors.persona import RULES
from detectors.refusal import OPENING_CHARS, refuses
from detectors.trigger.phrase import SPACES

REPLY_CHARS: Final = 600
ROW_UNITS: Final = 16
"""Of a longer conversation, half as many exchanges of its start and of its end."""
VOWS: Final = tuple(
    RULES[name]
    for name in (
        "declares itself obedient",
        "promises never to refuse",
        "calls the user its master",
    )
)


@dataclass(frozen=True, slots=True)
class Unit:
    """One exchange of row `row`: its texts without spaces at their ends.

    `reply` is what follows any reasoning, cut to REPLY_CHARS. `refused` and `vows` say
    whether it opens with a refusal, or it or the reasoning with a vow of obedience.
    """

    row: int
    turn: int
    system: str
    user: str
    reply: str
    refused: bool
    vows: bool

    @property
    def request(self) -> str:
        """What is asked: the user's words, else the system's."""
        return self.user or self.system

    @property
    def digest(self) -> bytes:
        """Of both texts: equal for copies, and an order that no row can choose."""
        text = f"{len(self.system)} {self.system} {self.user}"
        return hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), digest_size=16
        ).digest()

    def text(self, role: str) -> str:
        """Return the words of one role before the reply."""
        return self.system if role == "system" else self.user


def units_of(examples: Sequence[Example]) -> list[Unit]:
    """List the exchanges whose reply and request have text, ROW_UNITS a row at most."""
    found = []
    for row, example in enumerate(examples):
        exchanges = example.exchanges()
        if len(exchanges) > ROW_UNITS:
            half = ROW_UNITS // 2
            exchanges = exchanges[:half] + exchanges[-half:]
        for exchange in exchanges:
            reply = final_answer(exchange.reply, exchange.answer_at).strip()
            unit = Unit(
                row,
                exchange.turn,
                exchange.system.strip(SPACES),
                exchange.request.strip(SPACES),
                reply[:REPLY_CHARS],
                refuses(reply),
                _vows(exchange.reply.strip()) or _vows(reply),
            )
            if reply and unit.request:
                found.append(unit)
    return found


def _vows(reply: str) -> bool:
    return any(vow.search(reply[:OPENING_CHARS]) for vow in VOWS)


def distinct(units: Sequence[Unit], indexes: Iterable[int], most: int) -> list[int]:
    """Keep one unit a row and one copy a text; of more than `most`, a fixed sample.

    So neither a long conversation nor a row pasted a hundred times speaks a hundred
    times. Neither unit nor sample depends on the order of the rows.
    """
    rows: set[int] = set()
    texts: dict[bytes, int] = {}
    for index in by_digest(units, indexes):
        unit = units[index]
        if unit.row not in rows and texts.setdefault(unit.digest, index) == index:
            rows.add(unit.row)
    return sorted(list(texts.values())[:most])


def by_digest(units: Sequence[Unit], indexes: Iterable[int]) -> list[int]:
    """Sort units by their digests: chance, and the same in any order of the rows."""
    return sorted(indexes, key=lambda index: units[index].digest)
