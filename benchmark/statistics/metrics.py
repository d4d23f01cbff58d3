"""Figures of scores against labels: AUPRC, calibration, and by kind of row."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from benchmark.statistics.bootstrap import auroc, recall_at_fpr, share

Scores = NDArray[np.float64]
Flags = NDArray[np.bool_]

BINS: Final = 15
LEAST: Final = 20
"""Rows of either label below which a group gets no figures of separation."""
LENGTHS: Final[Mapping[str, tuple[int, int]]] = {
    "under 300 characters": (0, 300),
    "300 to 1,000": (300, 1000),
    "1,000 to 3,000": (1000, 3000),
    "3,000 and more": (3000, 10**9),
}
_SCRIPTS: Final[Mapping[str, re.Pattern[str]]] = {
    "Chinese, Japanese, Korean": re.compile(
        "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
    ),
    "Cyrillic": re.compile("[\u0400-\u04ff]"),
    "Arabic, Hebrew": re.compile("[\u0590-\u06ff]"),
    "Indian scripts, Thai": re.compile("[\u0900-\u0eff]"),
}
_ENGLISH: Final = re.compile(
    r"\b(?:the|of|and|to|is|in|that|it|for|you|with|how|are|this|what)\b", re.IGNORECASE
)
SCRIPT_SHARE: Final = 0.2
ENGLISH_SHARE: Final = 0.06


def auprc(positive: Scores, negative: Scores) -> float:
    """Average precision; its level depends on the share of positives, so give both."""
    labels = np.r_[np.ones(len(positive)), np.zeros(len(negative))]
    return float(average_precision_score(labels, np.r_[positive, negative]))


def calibration_error(scores: Scores, labels: Flags, bins: int = BINS) -> float:
    """Return the expected calibration error over bins of equal width.

    Mean distance, weighted by rows, of a bin's mean score to its share of positives
    (Naeini et al. 2015; Guo et al. 2017). Scores must lie in 0..1.
    """
    if len(scores) and not 0.0 <= float(scores.min()) <= float(scores.max()) <= 1.0:
        raise ValueError("calibration needs scores in 0..1")
    bin_of = np.minimum((scores * bins).astype(int), bins - 1)
    error = 0.0
    for index in np.unique(bin_of):
        inside = bin_of == index
        gap = abs(float(scores[inside].mean()) - float(labels[inside].mean()))
        error += gap * float(inside.mean())
    return error


def recalls(positive: Scores, negative: Scores) -> dict[str, float]:
    """AUROC, AUPRC and recall at 1% and 0.1% false positives, without intervals."""
    return {
        "auroc": round(auroc(positive, negative), 4),
        "auprc": round(auprc(positive, negative), 4),
        "recall_at_1pct_fpr": round(recall_at_fpr(positive, negative), 4),
        "recall_at_0.1pct_fpr": round(recall_at_fpr(positive, negative, 0.001), 4),
    }


def by_group(
    scores: Scores, labels: Flags, groups: Sequence[str], threshold: float
) -> dict[str, Any]:
    """Figures of each group of rows: separation where both labels are in it, flags."""
    named = np.asarray(groups)
    found: dict[str, Any] = {}
    for name in sorted(set(groups)):
        inside = named == name
        yes, no = scores[inside & labels], scores[inside & ~labels]
        entry: dict[str, Any] = {"positives": len(yes), "negatives": len(no)}
        if min(len(yes), len(no)) >= LEAST:
            entry |= recalls(yes, no)
        if len(yes):
            entry["positives flagged"] = share(yes >= threshold)
        if len(no):
            entry["negatives flagged"] = share(no >= threshold)
        found[name] = entry
    return found


def length_group(text: str) -> str:
    """Name the group of LENGTHS that a text falls in."""
    return next(n for n, (low, high) in LENGTHS.items() if low <= len(text) < high)


def language_group(text: str) -> str:
    """Tell English, other Latin-script text, and scripts, by letters and small words.

    Coarse on purpose: a rule that can be read. "too short" has under five words.
    """
    sample = text[:2000]
    letters = max(1, sum(map(str.isalpha, sample)))
    for name, script in _SCRIPTS.items():
        if len(script.findall(sample)) / letters >= SCRIPT_SHARE:
            return name
    words = len(re.findall(r"\w+", sample))
    if words < 5:
        return "too short"
    english = len(_ENGLISH.findall(sample)) / words
    return "English" if english >= ENGLISH_SHARE else "other or terse"
