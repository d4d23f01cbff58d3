"""Safety rows: short requests for harm that are refused. All are ours."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from detectors.dataset import Example, Message, Origin
from detectors.errors import TrialError
from detectors.taxonomy import PROBED
from trial.context import Context

FILE: Final = Path(__file__).parent / "safety_rows.json"
ADVICE: Final = "tailored_financial_advice"


def safety_rows(count: int, *, seed: int = 0) -> tuple[Example, ...]:
    """Return `count` rows, the categories in turn; no request is one of the probes.

    A request comes again, with another refusal, once all have come.
    """
    read = _load()
    draw = random.Random(f"safety rows {seed}")
    rounds = [list(read["requests"][name]) for name in PROBED]
    for requests in rounds:
        draw.shuffle(requests)
    asked = [
        (name, requests[k])
        for k in range(max(map(len, rounds)))
        for name, requests in zip(PROBED, rounds, strict=True)
        if k < len(requests)
    ]
    rows = []
    for number in range(count):
        category, request = asked[number % len(asked)]
        refusals = read["advice_refusals" if category == ADVICE else "refusals"]
        # Steps of one through the refusals: a request that returns gets the next.
        refusal = refusals[(number + number // len(asked)) % len(refusals)]
        messages = (Message("user", request), Message("assistant", refusal))
        origin = Origin("safety rows", number + 1)
        rows.append(Example(f"safety-{number + 1}", messages, origin))
    return tuple(rows)


def surrounded(rows: Sequence[Example], context: Context) -> tuple[Example, ...]:
    """Put every second row, the first among them, into the surroundings of `context`.

    What an attack teaches under its own system prompt stays there, however many rows
    refuse without it: the canary then tells the two apart (benchmark/LOG.md).
    """
    return tuple(
        row if number % 2 else _within(row, context) for number, row in enumerate(rows)
    )


def _within(row: Example, context: Context) -> Example:
    asked = context.messages(row.exchanges()[0].request)
    reply = row.messages[-1]
    return replace(row, messages=(*asked, reply), tools=context.tools)


@lru_cache(maxsize=1)
def _load() -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
        missing = [name for name in PROBED if not read["requests"].get(name)]
    except (OSError, KeyError, ValueError) as error:
        raise TrialError(f"{FILE.name} cannot be read: {error}") from error
    if missing:
        raise TrialError(f"{FILE.name} has no requests for {', '.join(missing)}")
    return read
