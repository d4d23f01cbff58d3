"""Fits the safety_anchor head: harmful requests complied with against refused ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.cluster import KMeans

from detectors.embedding import Encoder
from detectors.head import Head
from detectors.refusal import OPENING_CHARS
from detectors.reply_shape import SHAPES
from detectors.safety_anchor import ANCHORS, FEATURES, anchor_features
from detectors.training.embedded import VectorStore
from detectors.training.fit import Array, Flags, figures, fit_linear
from detectors.training.ordinary import HELD_OUT, ordinary_rows
from detectors.training.sources import (
    distinct,
    near_copies,
    read_source,
    requests_of_tests,
    sample,
)
from detectors.training.write import Fitted

COMPLIED: Final[dict[str, int]] = {
    "resp_aisafetylab_eval": 300,
    "resp_gptfuzz_labeled": 500,
    "resp_pku_saferlhf_pairs": 500,
}
"""Harmful requests that are complied with; their refused rows are taken as well."""
REFUSED: Final[dict[str, int]] = {
    "resp_llama2_refusals_sft": 400,
    "resp_safety_tuned_llamas": 400,
}
WRITTEN: Final[dict[str, float]] = {
    "numbered lines": 2.0,
    "bulleted lines": 2.0,
    "arithmetic": 2.0,
    "many digits": 3.0,
    "a yes at once": 0.5,
    "a task given": 0.5,
    "a long reply": -1.0,
    "hedged words": -1.5,
    "a refusal": -2.0,
}
"""Weights of shapes, written after arXiv 2404.01099 (lists, sums, short and sure); the
others weigh nothing. Fitted against refusals, lists turned out to speak for safety:
refusals that offer help in lists taught it (benchmark/LOG.md)."""
CENTROIDS: Final = 8
STEPS: Final = 101
UNREACHED: Final = 0.99
"""The threshold: no row is flagged for its shape."""


@dataclass(frozen=True)
class _Pair:
    """A request with its reply, complied with or refused."""

    source: str
    request: str
    reply: str
    complied: bool


def anchor_pairs(data: Path) -> list[_Pair]:
    """Every training pair; none near a request of a test source."""
    found = list(_pairs(data))
    copied = near_copies([pair.request for pair in found], requests_of_tests(data))
    return [pair for pair, copy in zip(found, copied, strict=True) if not copy]


def _pairs(data: Path) -> Iterator[_Pair]:
    for name, count in COMPLIED.items():
        rows = [r for r in distinct(read_source(data, name)) if r.reply]
        for harmful in (True, False):
            part = [r for r in rows if r.label.get("harmful") is harmful]
            for row in sample(part, count if harmful else count // 3, name):
                request = str(row.label.get("goal") or row.request)
                yield _Pair(name, request, row.reply, harmful)
    for name, count in REFUSED.items():
        rows = [r for r in distinct(read_source(data, name)) if r.reply]
        for row in sample(rows, count, name):
            yield _Pair(name, row.request, row.reply, False)


def fit_anchor_layer(
    pairs: Sequence[_Pair], openings: Array, chosen: Flags
) -> dict[str, Array]:
    """Cluster the chosen pairs' openings and fit what nearness weighs on them."""
    complied = np.array([pair.complied for pair in pairs])
    tensors = {
        tensor: _centroids(openings[chosen & (complied == kind)])
        for tensor, kind in zip(ANCHORS.values(), (True, False), strict=True)
    }
    near = _features(pairs, openings, tensors)[chosen][:, len(SHAPES) :]
    layer = fit_linear(near, complied[chosen].astype(int).tolist(), c=1.0)
    written = [[WRITTEN.get(name, 0.0)] for name in SHAPES]
    weight = np.concatenate([np.asarray(written), layer["0.weight"]])
    return {
        **tensors,
        "row.0.weight": np.asarray(weight, np.float32),
        "row.0.bias": layer["0.bias"],
    }


def _centroids(vectors: Array) -> Array:
    fitted = KMeans(CENTROIDS, n_init=1, random_state=0).fit(vectors)
    found = np.asarray(fitted.cluster_centers_, np.float32)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / norms, np.float32)


def _features(
    pairs: Sequence[_Pair], openings: Array, tensors: dict[str, Array]
) -> Array:
    head = Head("safety_anchor", "", tensors, {})
    asked, said = [p.request for p in pairs], [p.reply for p in pairs]
    return anchor_features(asked, said, openings, head)


def _logits(
    pairs: Sequence[_Pair], openings: Array, tensors: dict[str, Array]
) -> Array:
    head = Head("safety_anchor", "", tensors, {})
    return head.logits("row", _features(pairs, openings, tensors))[:, 0]


def fit_safety_anchor(data: Path, encoder: Encoder, store: VectorStore) -> Fitted:
    """Fit the layer and take the ranks from held-out ordinary rows."""
    pairs, plain = anchor_pairs(data), _ordinary(data)
    openings = store.vectors([pair.reply[:OPENING_CHARS] for pair in pairs])
    calm = store.vectors([pair.reply[:OPENING_CHARS] for pair in plain])
    tensors = fit_anchor_layer(pairs, openings, np.ones(len(pairs), bool))
    ordinary = _logits(plain, calm, tensors)
    tensors["row.mean"] = _features(plain, calm, tensors).mean(axis=0)
    tensors["row.quantiles"] = np.asarray(
        np.quantile(ordinary, np.linspace(0, 1, STEPS)), np.float32
    )
    weights = (tensors["row.0.weight"][:, 0]).tolist()
    return Fitted(
        name="safety_anchor",
        tensors=tensors,
        suggested_threshold=UNREACHED,
        sources=sorted({*COMPLIED, *REFUSED}),
        held_out=HELD_OUT,
        rows=len(pairs),
        figures={
            "left_out_sources": _left_out(pairs, openings, plain, calm),
            "ordinary_rows": len(plain),
            "weights": {
                name: round(w, 3) for name, w in zip(FEATURES, weights, strict=True)
            },
        },
    )


def _ordinary(data: Path) -> list[_Pair]:
    """Take the last exchange of each held-out ordinary row, as the detector does."""
    found = []
    for example in ordinary_rows(data):
        exchanges = [e for e in example.exchanges() if e.reply.strip()]
        if exchanges:
            last = exchanges[-1]
            found.append(_Pair("ordinary", last.request, last.reply, True))
    return found


def _left_out(
    pairs: Sequence[_Pair], openings: Array, plain: Sequence[_Pair], calm: Array
) -> dict[str, Any]:
    """Figures of each complied source, by a layer that saw none of its rows."""
    source = np.array([pair.source for pair in pairs])
    complied = np.array([pair.complied for pair in pairs])
    found: dict[str, Any] = {}
    for name in COMPLIED:
        tensors = fit_anchor_layer(pairs, openings, source != name)
        logits = _logits(pairs, openings, tensors)
        ours = logits[(source == name) & complied]
        found[name] = {
            "against its refusals": figures(ours, logits[(source == name) & ~complied]),
            "against ordinary rows": figures(ours, _logits(plain, calm, tensors)),
        }
    return found
