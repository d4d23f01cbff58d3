"""Does a text say that its speaker obeys, or order so? One layer over embeddings."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.embedding import Encoder, Vectors
from detectors.head import Head
from detectors.identity.sentence import ROLES
from detectors.persona import rule_features

WINDOW: Final = "segment"
SENTENCE: Final = "statement"
"""The two layers of the head: for windows of a message, and for single sentences."""
NUMBER: Final = re.compile(r"\d+")


def without_numbers(text: str) -> str:
    """Put one digit for each number: parcel 403 was taken for a forbidden thing."""
    return NUMBER.sub("7", text)


def segment_features(roles: Sequence[str], vectors: Vectors, rules: Vectors) -> Vectors:
    """Join vector (n, d), role (n, 3) and rules (n, r) of each text."""
    role = np.asarray([[r == k for k in ROLES] for r in roles], np.float32)
    return np.concatenate([vectors, role.reshape(-1, 3), rules], 1, dtype=np.float32)


class StatementJudge:
    """Chance, 0..1, that a text vows obedience, gives up rules, or orders either.

    Calibrated on left-out wordings; each layer has a calibration of its own.
    """

    def __init__(self, encoder: Encoder, head: Head) -> None:
        self._encoder = encoder
        self._head = head

    def windows(
        self, roles: Sequence[str], vectors: Vectors, texts: Sequence[str]
    ) -> NDArray[np.float32]:
        """Return the chance (n,) of windows whose vectors are at hand."""
        return self._chances(WINDOW, roles, vectors, texts)

    def sentences(
        self, roles: Sequence[str], texts: Sequence[str]
    ) -> NDArray[np.float32]:
        """Return the chance (n,) of sentences; each distinct text is embedded once."""
        if not texts:
            return np.zeros(0, np.float32)
        texts = [without_numbers(text) for text in texts]
        distinct = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        vectors = self._encoder.encode(list(distinct))
        chosen = vectors[[distinct[text] for text in texts]]
        return self._chances(SENTENCE, roles, chosen, texts)

    def _chances(
        self, layer: str, roles: Sequence[str], vectors: Vectors, texts: Sequence[str]
    ) -> NDArray[np.float32]:
        features = segment_features(roles, vectors, rule_features(texts))
        return self._head.calibrated(layer, self._head.logits(layer, features)[:, 0])
