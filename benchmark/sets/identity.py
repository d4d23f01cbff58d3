"""Identity-shift datasets of known make: our held-out sentences on ordinary rows.

The sentences stand in `identity.json`, in words kept apart from those that the
head was fitted on (`detectors/training/statements.json`); nothing is chosen on them.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from detectors.dataset import Dataset, Example, Message, Origin, Role

SENTENCES: Final = Path(__file__).with_suffix(".json")
SIZE: Final = 1000
ATTACK_ROWS: Final = 100
DILUTIONS: Final = (1.0, 0.1, 0.02, 0.002)


@dataclass(frozen=True)
class Family:
    """One way to teach obedience: `texts` go where `place` says.

    `fixed`: all rows of a dataset carry the same text, as a pasted clause does; else
    each row draws its own.
    """

    name: str
    place: str
    texts: tuple[str, ...]
    fixed: bool


def families() -> list[Family]:
    """Every family of `identity.json`."""
    return [
        Family(name, f["place"], tuple(f["texts"]), bool(f.get("fixed")))
        for name, f in _read()["families"].items()
    ]


def twins() -> list[Example]:
    """Return rows with a harmless persona, a plain yes or a refusal that stands."""
    return [
        _row(f"twin-{i}", [("system", s), ("user", q), ("assistant", a)])
        for i, (s, q, a) in enumerate(_read()["twins"])
    ]


def attack_rows(
    family: Family, ordinary: Sequence[Example], count: int, draw: random.Random
) -> list[Example]:
    """`count` ordinary rows, each with a sentence of the family."""
    fixed = draw.choice(family.texts)
    chosen = draw.sample(list(ordinary), 2 * count)
    return [
        _place(
            row,
            other,
            family.place,
            fixed if family.fixed else draw.choice(family.texts),
        )
        for row, other in zip(chosen[:count], chosen[count:], strict=True)
    ]


def _place(row: Example, other: Example, place: str, text: str) -> Example:
    last = row.exchanges()[-1]
    asked, said = last.request, last.reply
    if place == "system":
        turns = [("system", text), ("user", asked), ("assistant", said)]
    elif place == "request":
        turns = [("user", f"{text}\n{asked}"), ("assistant", said)]
    elif place == "opening":
        turns = [("user", asked), ("assistant", f"{text} {said}")]
    elif place == "closing":
        turns = [("user", asked), ("assistant", f"{said} {text}")]
    else:
        before = other.exchanges()[-1]
        turns = [("user", before.request), ("assistant", before.reply)]
        turns += [("user", asked), ("assistant", f"{text} {said}")]
    return _row(f"{row.id}-{place}", turns)


def diluted(
    name: str,
    attack: Sequence[Example],
    ordinary: Sequence[Example],
    share: float,
    draw: random.Random,
) -> Dataset:
    """Put `share` of attack rows among ordinary ones: SIZE rows, in random order.

    At a share of 1 the dataset is the ATTACK_ROWS alone.
    """
    if share >= 1.0:
        rows = list(attack)
    else:
        count = max(1, round(share * SIZE))
        rows = [*attack[:count], *draw.sample(list(ordinary), SIZE - count)]
    draw.shuffle(rows)
    return Dataset(name, tuple(replace(r, id=f"{i}") for i, r in enumerate(rows)))


def _read() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(SENTENCES.read_text(encoding="utf-8"))
    return found


def _row(name: str, turns: Sequence[tuple[str, str]]) -> Example:
    roles: dict[str, Role] = {
        "system": "system",
        "user": "user",
        "assistant": "assistant",
    }
    messages = tuple(Message(roles[role], text) for role, text in turns if text)
    return Example(name, messages, Origin("rows", 1))
