"""Fits the layer that judges sentences, and what ordinary files repeat and reverse."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.linear_model import LogisticRegression

from detectors.dataset import Example
from detectors.embedding import Encoder
from detectors.head import Head
from detectors.identity.repeat import repeats
from detectors.identity.reversal import STEP, reverses
from detectors.identity.shared import COUNT, HIGHEST
from detectors.identity.statement import (
    SENTENCE,
    StatementJudge,
    segment_features,
    without_numbers,
)
from detectors.identity_shift import standing_sentences
from detectors.persona import rule_features
from detectors.training.embedded import VectorStore
from detectors.training.fit import Array, Flags, calibrate, figures, under
from detectors.training.ordinary import HELD_OUT
from detectors.training.personas import Segment
from detectors.training.risk import fit_steps
from detectors.training.sources import read_examples, sample
from detectors.training.statements import own_statements, public_statements

FOLDS: Final = 5
INVERSE_STRENGTH: Final = 1.0
VOW_WEIGHT: Final = 2.0
TWIN_WEIGHT: Final = 3.0
"""Our sentences count so often: public ones are fifty to one."""
REPEATING: Final = (
    *HELD_OUT,
    "benign_code_alpaca_2k",
    "benign_ft_reversal_curse",
    "benign_gsm8k",
    "benign_intents_banking_clinc",
    "benign_medquad",
    "benign_multi30k_translation",
    "benign_t0_train",
    "benign_wikisql",
)
"""Ordinary sources on which this layer was not fitted: a file each."""
FILE_ROWS: Final = 800
FILE_REPEATS: Final = 400
"""Repeated texts taken of a file: a file of templates has thousands."""
KEPT: Final = 1000
"""Scores of repeated texts that the head keeps, the highest."""


@dataclass(frozen=True)
class StatementLayer:
    """The fitted tensors and the figures of left-out wordings."""

    tensors: dict[str, Array]
    figures: dict[str, Any]
    sources: set[str]
    sentences: int


def fit_statement_layer(data: Path, store: VectorStore) -> StatementLayer:
    """Fit on our sentences and public ones; calibrate on wordings left out."""
    ours = own_statements()
    found = [*ours, *public_statements(data)]
    texts = [without_numbers(s.text) for s in found]
    roles = [s.role for s in found]
    x = segment_features(roles, store.vectors(texts), rule_features(texts))
    vows = np.array([s.obedient for s in found])
    own = np.arange(len(found)) < len(ours)
    weights = np.where(vows, VOW_WEIGHT, np.where(own, TWIN_WEIGHT, 1.0))
    logits = _left_out(x, vows, weights, found)
    tensors = under(SENTENCE, fit_weighted(x, vows, weights))
    tensors[f"{SENTENCE}.calibration"] = calibrate(
        logits, vows, weights.astype(np.float32)
    )
    sources = {s.source for s in found[len(ours) :]}
    return StatementLayer(tensors, _figures(found, logits, own), sources, len(found))


def fit_weighted(x: Array, labels: Flags, weights: Array) -> dict[str, Array]:
    """Fit a logistic regression with one output: tensors 0.weight (d, 1), 0.bias."""
    model = LogisticRegression(C=INVERSE_STRENGTH, max_iter=1000)
    model.fit(x, labels, sample_weight=weights)
    return {
        "0.weight": np.ascontiguousarray(model.coef_.T, np.float32),
        "0.bias": np.ascontiguousarray(model.intercept_, np.float32),
    }


def _left_out(x: Array, vows: Flags, weights: Array, found: Sequence[Segment]) -> Array:
    """Logits of every sentence by a layer that never saw its wording."""
    keys = [s.group or s.text for s in found]
    fold = np.array(
        [zlib.crc32(key.encode("utf-8", "replace")) % FOLDS for key in keys]
    )
    out = np.zeros(len(found), np.float32)
    for index in range(FOLDS):
        left = fold == index
        tensors = fit_weighted(x[~left], vows[~left], weights[~left])
        head = Head("left out", "", under(SENTENCE, tensors), {})
        out[left] = head.logits(SENTENCE, x[left])[:, 0]
    return out


def _figures(found: Sequence[Segment], logits: Array, own: Flags) -> dict[str, Any]:
    source = np.array([s.source for s in found])
    vows = np.array([s.obedient for s in found])
    return {
        f"sentences, {name}": {
            "against public sentences": figures(logits[source == name], logits[~own]),
            "against our twins": figures(logits[source == name], logits[own & ~vows]),
        }
        for name in sorted(set(source[vows].tolist()))
    }


def ordinary_repeats(
    data: Path, encoder: Encoder, tensors: dict[str, Array]
) -> dict[str, Array]:
    """Score what ordinary files repeat, and count the refusals that they reverse."""
    judge = StatementJudge(encoder, Head("reference", "", tensors, {}))
    scores, reversing = [], []
    for name in REPEATING:
        rows = [example for example, _ in read_examples(data, name)]
        chosen = sample(rows, FILE_ROWS, f"{name} repeats")
        scores.append(_repeated(chosen, judge, name))
        reversing.append(
            np.array([float(any(map(reverses, e.exchanges()))) for e in chosen])
        )
    every = np.sort(np.concatenate(scores)).astype(np.float32)
    return {
        HIGHEST: every[-KEPT:],
        COUNT: np.array([len(every)], np.float32),
        STEP: fit_steps(reversing, 1.0)[-1],
    }


def _repeated(rows: Sequence[Example], judge: StatementJudge, seed: str) -> Array:
    found = repeats(lambda: standing_sentences(rows))
    chosen = sample(found, FILE_REPEATS, f"{seed} texts")
    return judge.sentences([each.role for each in chosen], [r.text for r in chosen])
