"""The rows that the cross-encoder is trained on, cut as it will see them."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from detectors.harm.pair import PIECE_CHARS, joined_turns, pieces, reply_pieces
from detectors.training.adapter import LEFT_OUT
from detectors.training.buried_rows import buried_rows
from detectors.training.harm_rows import harm_rows, keep_out, wrap
from detectors.training.hate_rows import hate_rows
from detectors.training.lay_rows import lay_rows
from detectors.training.ordinary import HELD_OUT
from detectors.training.reworded_rows import reworded_rows
from detectors.training.rows import COMPOSED, HarmRow
from detectors.training.weak_rows import dialogues, weak_rows

SECURITY: Final = Path(__file__).parent / "security.json"
SECURITY_SOURCE: Final = "security"
SECURITY_ROWS: Final = 700
LATER_PIECES: Final = 0.5
TURNS: Final = "turns" + COMPOSED
TURN_ROWS: Final = 1500


def cross_rows(data: Path) -> list[HarmRow]:
    """Every training row, cut."""
    told = [row for row in harm_rows(data) if row.source not in HELD_OUT]
    weak = keep_out(list(weak_rows(data)), data)
    told += [*wrap(weak, "weak"), *security(), *dialogues(data)]
    told += keep_out([*hate_rows(data), *lay_rows()], data)
    told += keep_out(reworded_rows(told), data)
    return [*cut(told), *cut(turns(told)), *cut(buried_rows(told, LEFT_OUT))]


def security(seed: str = "security") -> Iterator[HarmRow]:
    """Ordinary security and administration work, asked for with its purpose."""
    parts = json.loads(SECURITY.read_text(encoding="utf-8"))
    draw = random.Random(f"{seed}/security")
    for _ in range(SECURITY_ROWS):
        purpose = draw.choice(parts["purposes"])
        request = draw.choice(parts["requests"])
        asked = [f"{purpose} {request}", f"{request} {purpose}", request]
        text = draw.choices(asked, (5, 2, 1))[0]
        reply = draw.choice(parts["replies"])
        yield HarmRow(SECURITY_SOURCE, text, reply, False, "benign", False)


def turns(rows: Sequence[HarmRow], seed: str = "turns") -> list[HarmRow]:
    """Two requests in one conversation: what the reply does decides, not the words.

    Half are a harmful request (refused in between) before a harmless one that is
    answered; half lead to a harmful request, complied with or refused.
    """
    draw = random.Random(f"{seed}/turns")
    benign = [r for r in rows if r.kind == "benign" and r.reply]
    asking = [r for r in rows if r.asks_harm and r.reply]
    found = []
    for i in range(TURN_ROWS):
        calm, bad = draw.choice(benign), draw.choice(asking)
        before, last = (bad, calm) if i % 2 else (calm, bad)
        asked = joined_turns([before.request, last.request])
        found.append(replace(last, source=TURNS, request=asked, asks_harm=None))
    return found


def cut(rows: Sequence[HarmRow], seed: str = "cut") -> list[HarmRow]:
    """Cut requests and replies to one piece each, of long replies often a later one."""
    draw = random.Random(f"{seed}/cut")
    found = []
    for row in rows:
        parts = [text for text, _ in reply_pieces(row.reply)] or [""]
        later = len(parts) > 1 and draw.random() < LATER_PIECES
        reply = draw.choice(parts[1:]) if later else parts[0]
        request = pieces(row.request)[0][0] if row.request else ""
        if row.source == TURNS:
            request = row.request[-PIECE_CHARS:]
        found.append(replace(row, request=request, reply=reply))
    return found
