"""scikit-learn models into plain tensors, calibration, and leave-sources-out folds."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

Array = NDArray[np.float32]
Flags = NDArray[np.bool_]


MEMBERS: Final = 3


def fit_mlp(
    features: Array,
    labels: Flags,
    *,
    hidden: int,
    alpha: float,
    epochs: int,
    members: int = MEMBERS,
    seed: int = 0,
) -> dict[str, Array]:
    """Fit networks of one hidden ReLU layer, joined into one: their mean logit.

    Returns tensors 0.weight (d, members * hidden), 0.bias, 1.weight, 1.bias (1,).
    """
    fitted = []
    for member in range(members):
        model = MLPClassifier(
            (hidden,),
            alpha=alpha,
            learning_rate_init=1e-3,
            batch_size=256,
            max_iter=epochs,
            random_state=seed + member,
        )
        with warnings.catch_warnings():
            # A fixed number of epochs regularises: not converging is the plan.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features, labels)
        fitted.append(model)
    joined = {
        "0.weight": np.concatenate([m.coefs_[0] for m in fitted], axis=1),
        "0.bias": np.concatenate([m.intercepts_[0] for m in fitted]),
        "1.weight": np.concatenate([m.coefs_[1] for m in fitted]) / members,
        "1.bias": np.mean([m.intercepts_[1] for m in fitted], axis=0),
    }
    return {k: np.ascontiguousarray(v, np.float32) for k, v in joined.items()}


def fit_linear(features: Array, labels: Sequence[int], *, c: float) -> dict[str, Array]:
    """Multinomial logistic regression; classes must be 0..k-1 and all present."""
    model = LogisticRegression(C=c, max_iter=500, class_weight="balanced")
    model.fit(features, labels)
    return {
        "0.weight": np.ascontiguousarray(model.coef_.T, np.float32),
        "0.bias": np.ascontiguousarray(model.intercept_, np.float32),
    }


def calibrate(logits: Array, labels: Flags, weights: Array) -> Array:
    """Platt scaling on held-out logits: (slope, offset)."""
    model = LogisticRegression(C=1e4)
    model.fit(logits[:, None], labels, sample_weight=weights)
    return np.asarray([model.coef_[0, 0], model.intercept_[0]], np.float32)


def under(prefix: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Put a layer's tensors under its name."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def figures(positive: Array, negative: Array) -> dict[str, Any]:
    """AUROC and recall at 1% false positives of two groups of scores."""
    labels = np.r_[np.ones(len(positive)), np.zeros(len(negative))]
    scores = np.r_[positive, negative]
    limit = float(np.quantile(negative, 0.99))
    return {
        "auroc": round(float(roc_auc_score(labels, scores)), 4),
        "recall_at_1pct_fpr": round(float(np.mean(positive > limit)), 4),
        "positives": len(positive),
        "negatives": len(negative),
    }
