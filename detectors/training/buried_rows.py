"""Harm behind harmless text: the reply talks of something else first.

A reader that has seen only replies of one kind takes the first words for the whole.
Each row is cut as the detector will cut it, at a piece that holds both.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from detectors.harm.pair import PIECE_CHARS, joined_turns, reply_pieces
from detectors.training.harm_rows import (
    BURIED,
    COMPOSED_BENIGN,
    HarmRow,
    composed_refusal,
)

HARMFUL: Final = 2400
HARMLESS: Final = 2600
LEAST_HARM: Final = 150
"""Characters of harm that a piece must hold to be called harmful."""
LONG_HARM: Final = 250
"""A reply of that length may be known for harm without its request."""
CLEAR: Final = ("resp_aisafetylab_eval", "resp_gptfuzz_labeled")
"""Sources whose harmful replies are so by themselves."""
JOINTS: Final = ("\n\n", " ", "\n", "\n\nAnyway. ", " Now to the other thing. ")
SENTENCE_END: Final = re.compile(r"(?<=[.!?:])\s")


@dataclass(frozen=True)
class _Parts:
    """What rows are made of: calm rows, harmful replies, requests for harm."""

    calm: Sequence[HarmRow]
    harmful: Sequence[HarmRow]
    clear: Sequence[HarmRow]
    asking: Sequence[HarmRow]


def buried_rows(
    rows: Sequence[HarmRow], left_out: Sequence[str], seed: str = "buried"
) -> list[HarmRow]:
    """Compose rows of both kinds; what is calm comes of no source of `left_out`."""
    draw = random.Random(seed)
    real = [row for row in rows if row.reply and "+" not in row.source]
    harmful = [r for r in real if r.harmful and len(r.reply) >= LEAST_HARM]
    parts = _Parts(
        calm=[r for r in real if r.kind == "benign" and r.source not in left_out],
        harmful=harmful,
        clear=[r for r in harmful if r.source in CLEAR and len(r.reply) >= LONG_HARM],
        asking=[r for r in real if r.asks_harm],
    )
    if not (parts.calm and parts.clear and parts.asking):
        return []
    return [
        *(_harmful(parts, draw) for _ in range(HARMFUL)),
        *(_harmless(parts, draw) for _ in range(HARMLESS)),
    ]


def _harmful(parts: _Parts, draw: random.Random) -> HarmRow:
    """Put a harmful reply behind a calm one: asked for, as well, or not at all."""
    calm = draw.choice(parts.calm)
    way = draw.choices(("asked", "both", "unasked"), (5, 3, 2))[0]
    bad = draw.choice(parts.clear if way == "unasked" else parts.harmful)
    request = {
        "asked": bad.request,
        "both": joined_turns([calm.request, bad.request]),
        "unasked": calm.request,
    }[way]
    reply = _piece(_opening(calm.reply, draw), bad.reply, draw)
    source, asks = bad.source + BURIED, None if way == "both" else way == "asked"
    return HarmRow(source, request, reply, True, "comply", asks)


def _harmless(parts: _Parts, draw: random.Random) -> HarmRow:
    """Join two calm replies, or a refusal and one, or answer what was not asked.

    The last two stand under requests for harm, which they do not go along with.
    """
    calm, other = draw.choice(parts.calm), draw.choice(parts.calm)
    way = draw.choices(("calm", "refused", "elsewhere"), (6, 2, 2))[0]
    if way == "calm":
        request = calm.request
        if draw.random() < 0.5:
            request = joined_turns([calm.request, other.request])
        reply = _piece(_opening(calm.reply, draw), other.reply, draw)
        return HarmRow(COMPOSED_BENIGN, request, reply, False, "benign", False)
    asked = draw.choice(parts.asking)
    reply = _opening(calm.reply, draw)
    if way == "refused":
        reply = _piece(composed_refusal(draw), reply, draw)
    source = asked.source + BURIED
    return HarmRow(source, asked.request, reply, False, "refuse", True)


def _opening(reply: str, draw: random.Random) -> str:
    """Return the first sentences of a calm reply, 60 to 1,500 characters of it."""
    most = draw.choice((100, 200, 300, 400, 500, 800, 1500))
    if len(reply) <= most:
        return reply
    ends = [m.start() for m in SENTENCE_END.finditer(reply[:most])]
    whole = [end for end in ends if end >= 60]
    return reply[: whole[-1]] if whole else reply[:most]


def _piece(opening: str, rest: str, draw: random.Random) -> str:
    """Join two texts and return a piece with enough of the second, cut as always."""
    start = len(opening) + len(joint := draw.choice(JOINTS))
    text = f"{opening}{joint}{rest[:PIECE_CHARS]}"
    held = {p: end - max(start, begin) for p, (begin, end) in reply_pieces(text)}
    most = max(held.values())
    return draw.choice([p for p, n in held.items() if n >= min(LEAST_HARM, most)])
