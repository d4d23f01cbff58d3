"""The shape of an answer as numbers: lists, sums, length, hedges; not its topic."""

import re
from collections.abc import Callable, Sequence
from math import log1p
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.refusal import opens_with_yes, refuses

READ_CHARS: Final = 2000
_I: Final = re.IGNORECASE
_NUMBERED: Final = re.compile(r"^\s{0,8}(?:step\s)?\d{1,3}[.):]\s", _I | re.MULTILINE)
_BULLET: Final = re.compile(r"^\s{0,8}[-*\u2022]\s", re.MULTILINE)
_SUM: Final = re.compile(r"\d\s?[=+*/x\u00d7\u00f7-]\s?\$?\d")
_HEDGE: Final = re.compile(
    r"\b(?:however|may|might|perhaps|depends?|consult|professional|generally|could|"
    r"please note|important to|sorry|unfortunately)\b",
    _I,
)
_TASK: Final = re.compile(
    r"^\W{0,4}(?:list|name|give|generate|create|write|make|suggest|provide|compose|"
    r"design|develop|find|identify)\b",
    _I,
)
_HOW: Final = re.compile(r"^\W{0,4}how\b", _I)
_SENTENCE: Final = re.compile(r"[.!?](?:\s|$)")

SHAPES: Final[dict[str, Callable[[str, str], float]]] = {
    "numbered lines": lambda q, a: min(len(_NUMBERED.findall(a)), 10) / 10,
    "bulleted lines": lambda q, a: min(len(_BULLET.findall(a)), 10) / 10,
    "many short lines": lambda q, a: min(a.count("\n"), 20) / 20,
    "arithmetic": lambda q, a: min(len(_SUM.findall(a)), 5) / 5,
    "many digits": lambda q, a: sum(map(str.isdigit, a)) / max(1, len(a)),
    "a long reply": lambda q, a: log1p(len(a)) / 8,
    "a long request": lambda q, a: log1p(len(q)) / 8,
    "a yes at once": lambda q, a: float(opens_with_yes(a)),
    "hedged words": lambda q, a: min(len(_HEDGE.findall(a)), 8) / 8,
    "a refusal": lambda q, a: float(refuses(a)),
    "a task given": lambda q, a: float(bool(_TASK.match(q))),
    "a how-to question": lambda q, a: float(bool(_HOW.match(q))),
    "a question": lambda q, a: float(q.rstrip().endswith("?")),
    "many sentences": lambda q, a: min(len(_SENTENCE.findall(a)), 20) / 20,
    "code": lambda q, a: float("```" in a),
}
"""Feature name -> its number, 0 to about 1, for a request and a reply."""


def shape_features(
    requests: Sequence[str], replies: Sequence[str]
) -> NDArray[np.float32]:
    """Return (n, len(SHAPES)); of either text READ_CHARS characters are read."""
    rows = []
    for request, reply in zip(requests, replies, strict=True):
        asked, said = request[:READ_CHARS], reply[:READ_CHARS]
        rows.append([shape(asked, said) for shape in SHAPES.values()])
    return np.asarray(rows, np.float32).reshape(len(rows), len(SHAPES))
