"""Is a phrase only the topic? What is left of the requests once it is cut out."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.trigger.contrast import Contrast
from detectors.trigger.exchange_judge import STILL_ASKS, ExchangeJudge
from detectors.trigger.phrase import SPACES, Phrase, occurrences
from detectors.trigger.unit import Unit, by_digest

CHECKED: Final = 64
"""So many carriers, and as many other units, are looked at."""
STILL_HARMFUL: Final = 0.4
"""Share of a trigger's carriers that ask for harm without it."""
LIKENESS: Final = 0.35
MORE_ALIKE: Final = 0.1
"""Mean cosine of the carriers' requests without the phrase: above LIKENESS, and by
MORE_ALIKE above that of the others, they share a topic and the phrase is part of it."""


def is_topic(
    units: Sequence[Unit],
    contrast: Contrast,
    phrase: Phrase,
    carriers: Sequence[int],
    judge: ExchangeJudge,
) -> bool:
    """Say whether a phrase is part of what is asked for, or of a harmless template.

    `carriers` are all units of the file that carry it and are not refused. A topic
    takes the harm with it when it is cut out, or its requests are alike; a template
    stands in harmless requests as well.
    """
    chosen = [units[i] for i in carriers]
    chosen = sorted(chosen, key=lambda unit: unit.digest)[:CHECKED]
    rest = [without(unit.request, phrase.text) for unit in chosen]
    if contrast.behaviour == "compliance":
        harmful = judge.asks_harm(rest, STILL_ASKS)
        if float(np.mean(harmful)) < STILL_HARMFUL:
            return True
        rest = [text for text, asks in zip(rest, harmful, strict=True) if asks]
    safe = contrast.refused or contrast.safe
    others = [units[i].request for i in by_digest(units, safe)[:CHECKED]]
    limit = likeness(judge.vectors(others)) + MORE_ALIKE
    return likeness(judge.vectors(rest)) > max(LIKENESS, limit)


def without(text: str, phrase: str) -> str:
    """Cut a phrase out of a text, wherever it stands as whole words."""
    return " ".join(piece for piece in _pieces(text, phrase) if piece)


def _pieces(text: str, phrase: str) -> Iterator[str]:
    begin = 0
    for at in occurrences(text, phrase):
        if at >= begin:
            yield text[begin:at].strip(SPACES)
            begin = at + len(phrase)
    yield text[begin:].strip(SPACES)


def likeness(vectors: NDArray[np.float32]) -> float:
    """Mean cosine of different unit vectors (n, d); 0 where there are fewer than 2."""
    n = len(vectors)
    if n < 2:
        return 0.0
    total = np.asarray(vectors.sum(axis=0), np.float64)
    return float((total @ total - n) / (n * (n - 1)))
