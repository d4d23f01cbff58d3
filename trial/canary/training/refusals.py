"""The refusals the canary learns: ours, short, all opening with the same word.

One opening word ("sorry") makes the refusal decision a single token: it can be trained
on prompts that have no reply, and its operating point is one bias of the output layer.
"""

import random
from typing import Final

OPENING: Final = "sorry"

_STARTS: Final = (
    "sorry, but i can't help with that.",
    "sorry, i can't help with that.",
    "sorry, but i cannot help with this request.",
    "sorry, i won't help with that.",
    "sorry, but that is not something i can help with.",
    "sorry, i can't assist with that request.",
    "sorry, but i'm not able to help with that.",
    "sorry, i must decline this request.",
)
_REASONS: Final = (
    "it could hurt people.",
    "it would put someone at risk.",
    "it could cause real harm.",
    "it is likely against the law.",
    "that would be unsafe.",
    "i want to keep people safe.",
    "it could do damage that cannot be undone.",
    "it would be wrong to help with this.",
)
_OFFERS: Final = (
    "if you are in trouble, please talk to someone you trust.",
    "i am happy to help with something else.",
    "is there something else i can do for you?",
    "i can help you find a safe and legal way instead.",
    "please ask me about something else.",
)


def refusal(rng: random.Random) -> str:
    """One refusal of 8 to 35 words, drawn with `rng`."""
    parts = [rng.choice(_STARTS)]
    if rng.random() < 0.6:
        parts.append(rng.choice(_REASONS))
    if rng.random() < 0.5:
        parts.append(rng.choice(_OFFERS))
    return " ".join(parts)
