"""Llama Guard 3 and 4.

The model's chat template holds the task and the categories; it judges the last message.
Answer: "safe", or "unsafe" and a line of categories, "S1,S10".
Source: https://www.llama.com/docs/model-cards-and-prompt-formats/llama-guard-3
"""

import re
from typing import Final

from detectors.moderation.guard.family import (
    Family,
    conversation,
    lines_of,
    unreadable,
)
from detectors.moderation.moderator import LABEL_CHARS, Verdict
from detectors.taxonomies.llama_guard import LLAMA_GUARD as TAXONOMY

NAME: Final = "llama_guard"
CODES: Final = re.compile(r"S\d{1,2}(?:\s*,\s*S\d{1,2}){0,30}", re.IGNORECASE)


def parse(answer: str) -> Verdict:
    """Read an answer. A category nobody knows does not make unsafe safe."""
    match [line.lower() for line in lines_of(answer)]:
        case ["safe"]:
            return Verdict(False, 0.0)
        case ["unsafe"]:
            return Verdict(True, 1.0)
        case ["unsafe", codes] if CODES.fullmatch(codes):
            names = [code.strip().upper() for code in codes.split(",")]
            category = TAXONOMY.policy_category(names)
            return Verdict(True, 1.0, category, ", ".join(names)[:LABEL_CHARS])
        case _:
            raise unreadable(NAME)


LLAMA_GUARD: Final = Family(
    name=NAME,
    version="1",
    messages=conversation,
    parse=parse,
    categories=TAXONOMY.to_policy,
    max_tokens=64,
)
