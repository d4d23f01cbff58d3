"""Harm amid harmless text: request and reply talk of something else before or after.

A reader that has seen only texts of one kind takes the first words for the whole, and
the larger part for all of it. Each row is cut as the detector will cut it, at a piece
that holds both.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from detectors.harm.pair import PIECE_CHARS, joined_turns, reply_pieces
from detectors.training.composed_rows import composed_refusal
from detectors.training.rows import (
    BURIED,
    COMPOSED,
    COMPOSED_BENIGN,
    HarmRow,
    source_of,
)

HARMFUL: Final = 4200
HARMLESS: Final = 4600
LEAST_HARM: Final = 150
"""Characters of harm that a piece must hold to be called harmful, or all there are."""
LONG_HARM: Final = 250
"""A reply of that length may be known for harm without its request."""
CLEAR: Final = ("resp_aisafetylab_eval", "resp_gptfuzz_labeled")
"""Sources whose harmful replies are so by themselves."""
JOINTS: Final = ("\n\n", " ", " ", "\n", "\n\nAnyway. ", " Now to the other thing. ")
SENTENCE_END: Final = re.compile(r"(?<=[.!?:])\s")
REPLY_CHARS: Final = (60, 100, 200, 300, 400, 500, 800, 1500)
"""Of the calm text before a reply; after it there are SHORT_CHARS."""
SHORT_CHARS: Final = (60, 100, 150, 200, 300)
WAYS: Final = {"before": 4, "both": 5, "after": 2}
AMID_REQUEST: Final = 0.5
"""Share of the requests that stand amid calm ones."""


@dataclass(frozen=True)
class _Parts:
    """What rows are made of: calm rows, harmful replies, requests for harm.

    `answered` are calm rows with placeholders for an answer.
    """

    calm: Sequence[HarmRow]
    answered: Sequence[HarmRow]
    harmful: Sequence[HarmRow]
    clear: Sequence[HarmRow]
    asking: Sequence[HarmRow]


def buried_rows(
    rows: Sequence[HarmRow], left_out: Sequence[str], seed: str = "buried"
) -> list[HarmRow]:
    """Compose rows of both kinds; what is calm comes of no source of `left_out`."""
    draw = random.Random(seed)
    told = [row for row in rows if row.reply]
    real = [row for row in told if "+" not in row.source]
    harmful = [r for r in real if r.harmful and len(r.reply) >= LEAST_HARM]
    calm = [r for r in real if r.kind == "benign" and r.source not in left_out]
    placeholders = [r for r in told if r.harmful and r.source.endswith(COMPOSED)]
    answered = [r for r in told if r.source == COMPOSED_BENIGN and r.kind == "benign"]
    parts = _Parts(
        calm=calm,
        answered=answered or calm,
        harmful=[*harmful, *_some(placeholders, len(harmful) // 2, draw)],
        clear=[r for r in harmful if r.source in CLEAR and len(r.reply) >= LONG_HARM],
        asking=[r for r in told if r.asks_harm and "\n" not in r.request],
    )
    if not (parts.calm and parts.clear and parts.asking):
        return []
    return [
        *(_harmful(parts, draw) for _ in range(HARMFUL)),
        *(_harmless(parts, draw) for _ in range(HARMLESS)),
    ]


def _some(rows: Sequence[HarmRow], most: int, draw: random.Random) -> list[HarmRow]:
    return draw.sample(rows, min(len(rows), most))


def _harmful(parts: _Parts, draw: random.Random) -> HarmRow:
    """Put a harmful reply amid calm ones: asked for, as well, or not at all."""
    calm = draw.choice(parts.calm)
    way = draw.choices(("asked", "both", "unasked"), (6, 2, 2))[0]
    bad = draw.choice(parts.clear if way == "unasked" else parts.harmful)
    request = {
        "asked": _asked_amid(bad.request, parts, draw),
        "both": joined_turns([calm.request, bad.request]),
        "unasked": calm.request,
    }[way]
    reply = _amid(calm.reply, bad.reply, draw.choice(parts.calm).reply, draw)
    asks = None if way == "both" else way == "asked"
    return HarmRow(source_of(bad.source) + BURIED, request, reply, True, "comply", asks)


def _harmless(parts: _Parts, draw: random.Random) -> HarmRow:
    """Put a calm reply amid others, or a refusal, or answer what was not asked.

    The last two stand under requests for harm, which they do not go along with.
    """
    calm, after = draw.choice(parts.calm), draw.choice(parts.calm)
    way = draw.choices(("calm", "refused", "elsewhere"), (6, 2, 2))[0]
    if way == "calm":
        other = draw.choice(draw.choice((parts.calm, parts.answered)))
        request = draw.choice(
            (
                _asked_amid(other.request, parts, draw),
                joined_turns([calm.request, other.request]),
                calm.request,
            )
        )
        reply = _amid(calm.reply, other.reply, after.reply, draw)
        return HarmRow(COMPOSED_BENIGN, request, reply, False, "benign", False)
    asked = draw.choice(parts.asking)
    request = _asked_amid(asked.request, parts, draw)
    reply = _opening(calm.reply, draw.choice(REPLY_CHARS))
    if way == "refused":
        reply = _amid(reply, composed_refusal(draw), after.reply, draw)
    source = source_of(asked.source) + BURIED
    return HarmRow(source, request, reply, False, "refuse", True)


def _asked_amid(request: str, parts: _Parts, draw: random.Random) -> str:
    """Put a request amid calm ones, AMID_REQUEST of the time, in one piece."""
    if draw.random() >= AMID_REQUEST:
        return request
    before, after = draw.choice(parts.calm).request, draw.choice(parts.calm).request
    way = _way(draw)
    room = max(0, PIECE_CHARS - len(request)) // 2 - max(map(len, JOINTS))
    if way != "after" and room > 0:
        text = _opening(before, min(room, draw.choice(SHORT_CHARS)))
        request = f"{text}{draw.choice(JOINTS)}{request}"
    if way != "before" and room > 0:
        text = _opening(after, min(room, draw.choice(SHORT_CHARS)))
        request = f"{request}{draw.choice(JOINTS)}{text}"
    return request


def _way(draw: random.Random) -> str:
    return draw.choices(list(WAYS), list(WAYS.values()))[0]


def _opening(reply: str, most: int) -> str:
    """Return the first sentences of a calm text, 60 characters to `most` of it."""
    if len(reply) <= most:
        return reply
    ends = [m.start() for m in SENTENCE_END.finditer(reply[:most])]
    whole = [end for end in ends if end >= 60]
    return reply[: whole[-1]] if whole else reply[:most]


def _amid(before: str, core: str, after: str, draw: random.Random) -> str:
    """Put `core` before, after or between two texts and return a piece with enough."""
    way = _way(draw)
    most = draw.choice((LEAST_HARM, 2 * LEAST_HARM, PIECE_CHARS))
    core = _opening(core, most) if way != "before" else core[:PIECE_CHARS]
    text, start = core, 0
    if way != "after":
        opening = _opening(before, draw.choice(REPLY_CHARS)) + draw.choice(JOINTS)
        text, start = opening + core, len(opening)
    end = len(text)
    if way != "before":
        text += draw.choice(JOINTS) + _opening(after, draw.choice(SHORT_CHARS))
    held = {
        piece: min(end, stop) - max(start, begin)
        for piece, (begin, stop) in reply_pieces(text)
    }
    enough = min(LEAST_HARM, max(held.values()))
    return draw.choice([piece for piece, chars in held.items() if chars >= enough])
