"""What a request asks for and whether its reply refuses, by the explicit_harm head."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from detectors.embedding import Encoder, Vectors
from detectors.harm.layers import compliance_features
from detectors.head import Head
from detectors.part import parts
from detectors.refusal import OPENING_CHARS, refusal_features
from detectors.trigger.contrast import Flags
from detectors.trigger.unit import Unit

ASKS_HARM: Final = 1.5
"""The logit of a request from which it counts as asking for harm: some 3% of ordinary
training requests reach it, 64% of harmful ones."""
STILL_ASKS: Final = 0.5
"""The same where the question is whether many requests still do: 6% and 77%."""
COMPLIES: Final = 0.0
"""The logit of a reply from which it counts as going along."""


class ExchangeJudge:
    """Judges requests and replies; `at_once` bounds memory and changes no verdict."""

    def __init__(self, encoder: Encoder, head: Head, *, at_once: int) -> None:
        self._encoder = encoder
        self._head = head
        self._at_once = max(1, at_once)

    def asks_harm(self, texts: Sequence[str], least: float = ASKS_HARM) -> Flags:
        """Say of each text (n,) whether a window asks for harm by that logit."""
        worst = np.full(len(texts), -np.inf, np.float32)
        for part in parts(map(len, texts), self._at_once):
            windows = self._encoder.windows(texts[part])
            logits = self._head.logits("request", windows.vectors)[:, 0]
            np.maximum.at(worst, windows.owner + part.start, logits)
        return np.asarray(worst >= least)

    def with_refusals(self, units: Sequence[Unit], asks_harm: Flags) -> list[Unit]:
        """Mark refusals that no phrase gives away, where a request asks for harm."""
        found = list(units)
        unsure = [
            i for i, unit in enumerate(units) if asks_harm[i] and not unit.refused
        ]
        lengths = [len(units[i].reply) for i in unsure]
        for cut in parts(lengths, self._at_once):
            part = unsure[cut]
            for i, goes_along in zip(
                part, self._complies([units[i].reply for i in part]), strict=True
            ):
                found[i] = replace(units[i], refused=not goes_along)
        return found

    def _complies(self, replies: Sequence[str]) -> Flags:
        openings = [reply[:OPENING_CHARS] for reply in replies]
        features = compliance_features(
            self._encoder.encode(openings),
            self._encoder.encode(replies),
            refusal_features(openings, replies),
        )
        logits = self._head.logits("compliance", features)[:, 0]
        return np.asarray(logits >= COMPLIES)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors (n, d)."""
        return self._encoder.encode(texts)
