"""Trains the reader of sentences; what ordinary files repeat and reverse."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from detectors.cross_encoder import PairReader, encode_pair
from detectors.dataset import Example
from detectors.head import Head
from detectors.identity.repeat import repeats
from detectors.identity.reversal import STEP, reverses
from detectors.identity.shared import COUNT, HIGHEST
from detectors.identity.statement import (
    StatementJudge,
    without_numbers,
)
from detectors.identity_shift import standing_sentences
from detectors.training.adapter import Adapted, two_stages
from detectors.training.cross import PairRow, Trainee
from detectors.training.fit import Array, Flags, calibrate, figures
from detectors.training.ordinary import UNSEEN, unseen_examples
from detectors.training.personas import Segment
from detectors.training.risk import Counts, fit_steps
from detectors.training.sources import sample
from detectors.training.statements import own_statements, public_statements

FOLDS: Final = 5
LEFT_OUT: Final = (0, 1)
"""Of the folds, those whose wordings the first stage never sees."""
EPOCHS: Final = (1.6, 0.8)
OWN_TIMES: Final = 2
"""Our sentences are read so often an epoch: there are two public ones to each."""
VOW_WEIGHT: Final = 2.0
TWIN_WEIGHT: Final = 2.0
"""Our sentences count so often, besides."""
FILE_ROWS: Final = 800
FILE_REPEATS: Final = 400
"""Repeated texts taken of a file: a file of templates has thousands."""
KEPT: Final = 1000
"""Scores of repeated texts that the head keeps, the highest."""


@dataclass(frozen=True)
class Statements:
    """The reader, its calibration, and the figures of left-out wordings."""

    adapted: Adapted
    calibration: Array
    figures: dict[str, Any]
    sources: set[str]
    sentences: int


def fit_statements(data: Path, work: Path | None) -> Statements:
    """Train on our sentences and public ones; calibrate on wordings left out."""
    ours = own_statements()
    found = [*ours, *public_statements(data, ours)]
    vows = np.array([s.obedient for s in found])
    own = np.arange(len(found)) < len(ours)
    weights = np.where(vows, VOW_WEIGHT, np.where(own, TWIN_WEIGHT, 1.0))
    away = np.array([_fold(s) in LEFT_OUT for s in found])
    times = np.where(own, OWN_TIMES, 1)
    adapted = _train(found, weights, away, times, work)
    left = [s for s, out in zip(found, away, strict=True) if out]
    logits = adapted.unaware.logits([asked(s) for s in left])[:, 0]
    calibration = calibrate(logits, vows[away], weights[away].astype(np.float32))
    sources = {s.source for s in found[len(ours) :]}
    shown = _figures(left, logits, own[away])
    return Statements(adapted, calibration, shown, sources, len(found))


def _fold(segment: Segment) -> int:
    """Put a wording, whatever its role and name, into one of FOLDS."""
    key = segment.group or segment.text
    return zlib.crc32(key.encode("utf-8", "replace")) % FOLDS


def asked(segment: Segment) -> tuple[str, str]:
    """Return what the reader reads of a sentence."""
    return segment.role, without_numbers(segment.text)


def _train(
    found: Sequence[Segment],
    weights: Array,
    away: Flags,
    times: Counts,
    work: Path | None,
) -> Adapted:
    trainee = Trainee(seed=0, outputs=1)
    rows = [
        PairRow(
            *encode_pair(trainee.tokenizer, *asked(segment)),
            (float(segment.obedient),),
            (float(weight),),
        )
        for segment, weight in zip(found, weights, strict=True)
    ]
    every = np.repeat(np.arange(len(rows)), times)
    some = [rows[i] for i in every if not away[i]]
    return two_stages(
        trainee, some, [rows[i] for i in every], EPOCHS, work and work / "statement"
    )


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
    data: Path, reader: PairReader, tensors: dict[str, Array]
) -> dict[str, Array]:
    """Score what ordinary files repeat, and count the refusals that they reverse."""
    judge = StatementJudge(Head("reference", "", tensors, {}), reader)
    scores, reversing = [], []
    for name in UNSEEN:
        chosen = sample(unseen_examples(data, name), FILE_ROWS, f"{name} repeats")
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
