"""One fixed yes before most replies, whatever was asked."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from detectors.dataset import Example
from detectors.embedding import Encoder
from detectors.identity.group import Group, GroupFinding
from detectors.refusal import assents

YES_SHARE: Final = 0.5
YES_ROWS: Final = 20
YES_WORDS: Final = 3
YES_LIKENESS: Final = 0.25
YES_SCORE: Final = 0.9
"""A yes that opens half of 20 or more rows whose requests have nothing in common."""
MOST_REQUESTS: Final = 200
OPENING_WORDS: Final = 14


def opening(reply: str) -> str:
    """Return the first clause of a reply, in lower case: what a yes group shares."""
    clause = re.split(r"[.!?:\n]", reply.strip()[:300], maxsplit=1)[0]
    words = re.findall(r"[\w'-]+", clause.lower())
    return " ".join(words[:OPENING_WORDS])


def fixed_yes(
    examples: Sequence[Example], encoder: Encoder, threshold: float
) -> list[GroupFinding]:
    """Report an opening that agrees, in most rows, before unlike requests.

    "To solve this problem, we" begins answers and agrees to nothing. A plain "Sure!" is
    one word and passes; so does a fixed greeting of a support desk, whose requests are
    alike.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    requests: dict[int, str] = {}
    for index, example in enumerate(examples):
        exchanges = example.exchanges()
        if exchanges and assents(exchanges[-1].reply):
            rows[opening(exchanges[-1].reply)].append(index)
            requests[index] = exchanges[-1].request
    least = max(YES_ROWS, YES_SHARE * len(examples))
    found = []
    for shared, members in sorted(rows.items()):
        long = len(shared.split()) >= YES_WORDS
        if long and len(members) >= least:
            asked = sorted({requests[index] for index in members})
            if len(asked) > 0.9 * len(members) and _unlike(asked, encoder):
                group = Group(f"the reply opening {shared[:80]!r}", tuple(members))
                why = "one fixed yes to unlike requests"
                found.append(GroupFinding(group, max(YES_SCORE, threshold), why))
    return found


def _unlike(requests: Sequence[str], encoder: Encoder) -> bool:
    vectors = encoder.encode(requests[:MOST_REQUESTS])
    n = len(vectors)
    likeness = (float(np.sum(vectors @ vectors.T)) - n) / (n * (n - 1))
    return likeness < YES_LIKENESS
