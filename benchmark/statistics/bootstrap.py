"""Figures of two groups of scores with percentile bootstrap intervals."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

SAMPLES: Final = 400
Scores = NDArray[np.float64]


def auroc(positive: Scores, negative: Scores) -> float:
    """Chance that a positive scores above a negative; ties count half."""
    labels = np.r_[np.ones(len(positive)), np.zeros(len(negative))]
    return float(roc_auc_score(labels, np.r_[positive, negative]))


def recall_at_fpr(positive: Scores, negative: Scores, rate: float = 0.01) -> float:
    """Share of positives above the score that `rate` of the negatives exceed."""
    return float(np.mean(positive > np.quantile(negative, 1 - rate)))


def separation(positive: Scores, negative: Scores, seed: int = 0) -> dict[str, Any]:
    """AUROC and recall at 1% FPR, each with its 95% interval, and the counts."""
    found: dict[str, Any] = {"positives": len(positive), "negatives": len(negative)}
    measures: dict[str, Callable[[Scores, Scores], float]] = {
        "auroc": auroc,
        "recall_at_1pct_fpr": recall_at_fpr,
    }
    for name, measure in measures.items():
        found[name] = round(measure(positive, negative), 4)
        found[f"{name}_interval"] = _interval(measure, positive, negative, seed)
    return found


def _interval(
    measure: Callable[[Scores, Scores], float],
    positive: Scores,
    negative: Scores,
    seed: int,
) -> list[float]:
    draw = np.random.default_rng(seed)
    values = [
        measure(
            draw.choice(positive, len(positive)), draw.choice(negative, len(negative))
        )
        for _ in range(SAMPLES)
    ]
    return [round(float(v), 4) for v in np.quantile(values, [0.025, 0.975])]


def share(flags: NDArray[np.bool_]) -> dict[str, Any]:
    """Share of true flags with its exact 95% interval (Clopper-Pearson) and n."""
    flagged = int(flags.sum())
    interval = binomtest(flagged, len(flags)).proportion_ci(0.95, method="exact")
    return {
        "share": round(float(flags.mean()), 4),
        "interval": [round(float(interval.low), 4), round(float(interval.high), 4)],
        "flagged": flagged,
        "n": len(flags),
    }
