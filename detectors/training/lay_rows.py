"""Harmful requests in the words of lay people, beside which their harmless twins stand.

The contrast prompts alone would teach that a short plain question is never harm.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from detectors.training.composed_rows import composed_refusal
from detectors.training.phrases import COMPLIANCES, PLACEHOLDERS
from detectors.training.rows import HarmRow

REQUESTS: Final = Path(__file__).with_name("lay_requests.json")
"""A sentence with a slot -> what fills it; each asks for harm, and says no more."""
SOURCE: Final = "lay"


def lay_requests() -> list[str]:
    """Every request; about 320."""
    patterns = json.loads(REQUESTS.read_text(encoding="utf-8"))
    return [p.format(f) for p, fillers in patterns.items() for f in fillers]


def lay_rows(seed: str = "lay") -> Iterator[HarmRow]:
    """Each request complied with in placeholders, twice, and refused."""
    draw = random.Random(seed)
    for text in lay_requests():
        request = text[0].upper() + text[1:] if draw.random() < 0.5 else text
        for _ in range(2):
            reply = f"{draw.choice(COMPLIANCES)} {draw.choice(PLACEHOLDERS)}"
            yield HarmRow(SOURCE, request, reply, True, "comply", True)
        refusal = composed_refusal(draw)
        yield HarmRow(SOURCE, request, refusal, False, "refuse", True)
