"""Measures every detector on ordinary files: what dataset_risk holds a file against."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import nbinom

from detectors.catalog import load_detectors, suggested_thresholds
from detectors.dataset import Dataset, Example
from detectors.dataset_risk import NAME, STEPS
from detectors.embedding import Encoder
from detectors.head import HEADS
from detectors.training.embedded import VectorStore
from detectors.training.ordinary import UNSEEN, unseen_examples
from detectors.training.sources import sample
from detectors.training.write import Fitted

ROWS: Final = 1500
"""Rows of a source: of fewer, next to none is over the higher steps."""
SHAPES: Final = (0.2, 2.0)
"""Files differ by an unknown amount: the shape is kept within this. A dozen files with
a handful of rows over a step look as alike as can be, and so they are not believed."""

Counts = NDArray[np.int64]


def ordinary_files(data: Path) -> dict[str, Dataset]:
    """Return up to ROWS rows with a reply of each source, as a file each."""
    files = {}
    for name in UNSEEN:
        rows = [e for e in unseen_examples(data, name) if _is_ordinary(e)]
        if rows:
            files[name] = Dataset(name, tuple(sample(rows, ROWS, f"{name} risk")))
    return files


def unlearnt(
    detector: str, files: Mapping[str, Dataset], heads: Path = HEADS
) -> dict[str, Dataset]:
    """Keep the files of sources that the detector's head did not learn from.

    On rows that it learnt it errs less than on a customer's. Where the head learnt from
    one split of a source, the file is of another.
    """
    record = heads / f"{detector}.json"
    learnt = json.loads(record.read_text("utf-8"))["sources"] if record.exists() else {}
    return {
        name: rows
        for name, rows in files.items()
        if learnt.get(name, {}).get("use") != "fit"
    }


def _is_ordinary(example: Example) -> bool:
    return any(e.reply.strip() for e in example.exchanges())


def fit_steps(
    values: Sequence[NDArray[np.float64]], threshold: float
) -> NDArray[np.float32]:
    """Fit (score, rate, shape) of each step to the scores of several files: (k, 3).

    The rate has half a row added to the count, since none seen is not never. Files are
    taken to be no more alike at a step than at those below it, which more rows reach.
    """
    rows = np.asarray([len(v) for v in values], np.int64)
    steps, most = [], SHAPES[1]
    for score in sorted({*STEPS, threshold}):
        counts = np.asarray([int(np.sum(v >= score)) for v in values], np.int64)
        rate = (float(counts.sum()) + 0.5) / (float(rows.sum()) + 1.0)
        most = min(most, _shape(counts, rows, rate))
        steps.append((score, rate, most))
    return np.asarray(steps, np.float32)


def _shape(counts: Counts, rows: Counts, rate: float) -> float:
    """Shape of greatest likelihood of the negative binomial, within SHAPES."""
    if not counts.any():
        return 0.5

    def loss(log_shape: float) -> float:
        shape = float(np.exp(log_shape))
        stop = shape / (shape + rate * rows)
        return -float(np.sum(nbinom.logpmf(counts, shape, stop)))

    low, high = np.log(SHAPES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def fit_dataset_risk(data: Path, encoder: Encoder, store: VectorStore) -> Fitted:
    """Score ordinary files that are new to each detector and fit its steps."""
    files = ordinary_files(data)
    thresholds = suggested_thresholds(encoder)
    tensors, versions = {}, {}
    flagged: dict[str, Mapping[str, float]] = {}
    for detector in load_detectors(encoder):
        fair = unlearnt(detector.name, files)
        said = {name: detector.score(dataset) for name, dataset in fair.items()}
        if any(scores.risk is not None for scores in said.values()):
            continue
        values = {
            name: np.asarray([v for v in scores.values if v is not None])
            for name, scores in said.items()
        }
        at = thresholds[detector.name]
        tensors[f"{detector.name}.steps"] = fit_steps(list(values.values()), at)
        versions[detector.name] = detector.version
        flagged[detector.name] = {
            name: round(float(np.mean(v >= at)), 4)
            for name, v in values.items()
            if len(v)
        }
    return Fitted(
        name=NAME,
        tensors=tensors,
        suggested_threshold=0.5,
        sources=[],
        held_out=sorted(files),
        rows=sum(len(f) for f in files.values()),
        figures={"versions": versions, "flagged": flagged, "left_out_sources": {}},
    )
