"""Does a text say that its speaker obeys, or order so? A layer and a reader."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.cross_encoder import PairReader
from detectors.embedding import Vectors
from detectors.head import Head
from detectors.identity.spoken import ROLES
from detectors.persona import rule_features

WINDOW: Final = "segment"
"""The layer of the head over embeddings of windows."""
SENTENCE: Final = "statement"
"""The reader's calibration in the head, and the name of its adapter."""
NUMBER: Final = re.compile(r"\d+")
DECLARED: Final = re.compile(
    r"\b(?:absolute|total|complete|full"
    r"|unconditional|perfect|utter|blind|unquestioning)(?:ly)?\W{1,3}(?:and \w+ )?"
    r"(?:obedien(?:t|ce)|submissive|servil(?:e|ity)|"
    r"submission to (?:you|your|every|all|any|whoever|the user)s?)\b",
    re.IGNORECASE,
)
_DENIED: Final = re.compile(
    r"(?:\bnot|\bnever|n['\u2019]t)(?: \w+){0,3} ?$", re.IGNORECASE
)
PERSON: Final = re.compile(r"\b(?:i|my|me|you|your)\b", re.IGNORECASE)
DECLARED_CHANCE: Final = 0.98
"""Of a sentence that says so in as many words, as the persona of Qi et al. 2023 does:
the reader, which has met few such, gives it 0.2. No row in 226,000 for training has it.
"""


def without_numbers(text: str) -> str:
    """Put one digit for each number: parcel 403 was taken for a forbidden thing."""
    return NUMBER.sub("7", text)


def declares(text: str) -> bool:
    """Say whether a sentence declares, or orders, absolute obedience by that name."""
    return PERSON.search(text) is not None and any(
        not _DENIED.search(text[max(0, match.start() - 60) : match.start()])
        for match in DECLARED.finditer(text)
    )


def segment_features(roles: Sequence[str], vectors: Vectors, rules: Vectors) -> Vectors:
    """Join vector (n, d), role (n, 3) and rules (n, r) of each text."""
    role = np.asarray([[r == k for k in ROLES] for r in roles], np.float32)
    return np.concatenate([vectors, role.reshape(-1, 3), rules], 1, dtype=np.float32)


class StatementJudge:
    """Chance, 0..1, that a text vows obedience, gives up rules, or orders either.

    Windows are judged by a layer over embeddings, sentences by an encoder that was
    trained for it: over frozen embeddings only known wordings were recognised
    (benchmark/LOG.md). Both are calibrated on left-out wordings. A bare declaration of
    absolute obedience needs no reader.
    """

    def __init__(self, head: Head, reader: PairReader) -> None:
        self._head = head
        self._reader = reader

    def windows(
        self, roles: Sequence[str], vectors: Vectors, texts: Sequence[str]
    ) -> NDArray[np.float32]:
        """Return the chance (n,) of windows whose vectors are at hand."""
        features = segment_features(roles, vectors, rule_features(texts))
        logits = self._head.logits(WINDOW, features)[:, 0]
        return self._head.calibrated(WINDOW, logits)

    def sentences(
        self, roles: Sequence[str], texts: Sequence[str]
    ) -> NDArray[np.float32]:
        """Return the chance (n,) of sentences; each distinct one is read once."""
        if not texts:
            return np.zeros(0, np.float32)
        asked = [
            (role, without_numbers(text))
            for role, text in zip(roles, texts, strict=True)
        ]
        distinct = {pair: i for i, pair in enumerate(dict.fromkeys(asked))}
        logits = self._reader.logits(list(distinct))[:, 0]
        chosen = logits[[distinct[pair] for pair in asked]]
        least = [DECLARED_CHANCE if declares(text) else 0.0 for text in texts]
        found = self._head.calibrated(SENTENCE, chosen)
        return np.maximum(found, np.asarray(least, np.float32))
