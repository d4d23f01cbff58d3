"""Features of the three layers over frozen embeddings, and how logits are joined."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.embedding import Vectors
from detectors.head import sigmoid

FROZEN_WEIGHT: Final = 1 / 3
"""Of the frozen layers beside the cross-encoder, see `joint`."""

PIECE_DISCOUNT: Final = 0.3
"""Logits that an e-fold number of pieces takes from the worst: see `discount`."""
EXCHANGE_DISCOUNT: Final = 0.5
"""Logits that an e-fold number of exchanges takes from the worst of a row."""
MOST_EXCHANGES: Final = 20
"""Exchanges that count so: harm shall not drown in very many harmless ones."""


def pair_features(
    request: Vectors, opening: Vectors, reply: Vectors, phrases: Vectors
) -> Vectors:
    """Join request and reply as InferSent does: u, v, u*v, |u-v|, opening apart.

    All arguments are (n, d) but `phrases` (n, p). After Conneau et al. 2017 (arXiv
    1705.02364).
    """
    parts = [
        request,
        opening,
        reply,
        request * reply,
        np.abs(request - reply),
        request * opening,
        phrases,
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def compliance_features(opening: Vectors, reply: Vectors, phrases: Vectors) -> Vectors:
    """Join what the reply alone shows of refusing or complying: (n, 2d + p)."""
    return np.concatenate([opening, reply, phrases], axis=1, dtype=np.float32)


def combine(request: Vectors, compliance: Vectors, pair: Vectors) -> Vectors:
    """Mean of two logits: request harm x compliance, and the pair as a whole.

    The product carries over to sources never seen, the pair head knows more of those
    it saw; their mean was better than either on left-out sources (benchmark/LOG.md).
    """
    product = np.asarray(sigmoid(request) * sigmoid(compliance), np.float64)
    product = np.clip(product, 1e-6, 1 - 1e-6)
    return np.asarray((np.log(product / (1 - product)) + pair) / 2, np.float32)


def joint(frozen: Vectors, paired: Vectors) -> Vectors:
    """Weighted mean of the logits (n,) of the two readers of an exchange.

    The frozen layers see every window and carry over; the cross-encoder sees what the
    reply does with the request. Together they beat each on left-out sources, which the
    weight was chosen on (benchmark/LOG.md).
    """
    mean = FROZEN_WEIGHT * frozen + (1 - FROZEN_WEIGHT) * paired
    return np.asarray(mean, np.float32)


def discount(pieces: NDArray[np.int64]) -> Vectors:
    """Return what to take from the logits of replies of so many pieces (n,), each >= 1.

    An exchange counts as its worst piece, so a long harmless one has more chances to
    look bad: the tail of ordinary rows rises with the logarithm of the number
    (benchmark/LOG.md).
    """
    return np.asarray(PIECE_DISCOUNT * np.log(pieces), np.float32)


def exchange_discount(exchanges: NDArray[np.int64]) -> Vectors:
    """Return what to take from the logits of rows of so many exchanges (n,), each >= 1.

    A row counts as its worst exchange. Dialogues with a service have some ten, and of
    1,500 the worst 0.5% scored 0.85, where sources of one exchange a row had 0.59.
    """
    counted = np.minimum(exchanges, MOST_EXCHANGES)
    return np.asarray(EXCHANGE_DISCOUNT * np.log(counted), np.float32)
