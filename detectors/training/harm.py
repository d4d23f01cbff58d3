"""Fits the explicit_harm head: request, compliance, pair and category layers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from detectors.embedding import Encoder
from detectors.explicit_harm import (
    ExplicitHarm,
    combine,
    compliance_features,
    pair_features,
)
from detectors.head import Head
from detectors.refusal import OPENING_CHARS, refusal_features
from detectors.training.categories import CATEGORY_SOURCES, category_rows
from detectors.training.embedded import VectorStore
from detectors.training.fit import (
    MEMBERS,
    Array,
    Flags,
    calibrate,
    figures,
    fit_linear,
    fit_mlp,
    under,
)
from detectors.training.harm_rows import (
    COMPOSED,
    COMPOSED_BENIGN,
    HarmRow,
    harm_rows,
)
from detectors.training.ordinary import FLAGGED, HELD_OUT, ordinary_rows
from detectors.training.sources import (
    clip,
    near_copies,
    requests_of_tests,
)
from detectors.training.write import Fitted

FOLDS: Final = (
    ("resp_gptfuzz_labeled", "benign_alpaca_12k_en_de", "resp_llama2_refusals_sft"),
    ("resp_pku_saferlhf_pairs", "benign_gpteacher", "benign_gsm8k", "benign_wikisql"),
    ("resp_aisafetylab_eval", "benign_t0_train", "resp_safety_tuned_llamas"),
    ("prompt_advbench", "prompt_harmbench", "benign_alpaca_eval_outputs"),
    ("prompt_catqa_harmfulqa", "benign_medquad", "resp_alpaca_dolly_safety_only"),
)
"""Sources left out together; those not named form one more fold."""


class HarmFeatures:
    """All features of the training rows, computed once: arrays aligned with rows."""

    def __init__(self, rows: Sequence[HarmRow], store: VectorStore) -> None:
        openings = [row.reply[:OPENING_CHARS] for row in rows]
        replies = [clip(row.reply) for row in rows]
        self.request = store.vectors([clip(row.request) for row in rows])
        opening, reply = store.vectors(openings), store.vectors(replies)
        phrases = refusal_features(openings, replies)
        self.compliance = compliance_features(opening, reply, phrases)
        self.pair = pair_features(self.request, opening, reply, phrases)
        self.harmful: Flags = np.array([row.harmful for row in rows])
        self.asks: Flags = np.array([row.asks_harm is True for row in rows])
        self.asks_known: Flags = np.array([row.asks_harm is not None for row in rows])
        self.complies: Flags = np.array([row.kind in PLAIN for row in rows])
        self.complies_known: Flags = np.array([_knows_compliance(row) for row in rows])
        self.has_reply: Flags = np.array([bool(row.reply) for row in rows])
        self.source = np.array([row.source for row in rows])
        self.kind = np.array([row.kind for row in rows])


PLAIN: Final = ("comply", "benign")


def _knows_compliance(row: HarmRow) -> bool:
    """Say whether the label of a row says that its reply goes along or refuses.

    "Not jailbroken" replies of GPTFuzz may be off topic, "safe" ones of PKU may
    comply with a harmless reading, and a steered model refuses the harmless.
    """
    mixed = row.source in ("resp_gptfuzz_labeled", "resp_pku_saferlhf_pairs")
    steered = row.source == "resp_refusal_direction_runs"
    return bool(row.reply) and not (mixed and not row.harmful) and not steered


def fit_layers(
    features: HarmFeatures, chosen: Flags, members: int = MEMBERS
) -> dict[str, Array]:
    """Fit the three layers on the chosen rows."""
    asked = chosen & features.asks_known
    told = chosen & features.complies_known
    paired = chosen & features.has_reply
    request = fit_mlp(
        features.request[asked],
        features.asks[asked],
        hidden=64,
        alpha=1e-2,
        epochs=8,
        members=members,
    )
    compliance = fit_mlp(
        features.compliance[told],
        features.complies[told],
        hidden=32,
        alpha=1e-2,
        epochs=8,
        members=members,
    )
    pair = fit_mlp(
        features.pair[paired],
        features.harmful[paired],
        hidden=64,
        alpha=1e-1,
        epochs=6,
        members=members,
    )
    return {
        **under("request", request),
        **under("compliance", compliance),
        **under("pair", pair),
    }


def logits_of(head: Head, features: HarmFeatures, chosen: Flags) -> Array:
    """Return combined logits of the chosen rows, as the detector computes them."""
    return combine(
        head.logits("request", features.request[chosen])[:, 0],
        head.logits("compliance", features.compliance[chosen])[:, 0],
        head.logits("pair", features.pair[chosen])[:, 0],
    )


def fold_of(source: str) -> int:
    """Index of the fold in which this source is left out."""
    base = source.removesuffix(COMPOSED)
    for index, names in enumerate(FOLDS):
        if base in names:
            return index
    return len(FOLDS)


def left_out_logits(features: HarmFeatures) -> Array:
    """Logits of every row by single layers that never saw its source."""
    fold = np.array([fold_of(str(source)) for source in features.source])
    out = np.zeros(len(fold), np.float32)
    for index in range(len(FOLDS) + 1):
        head = Head("left out", "", fit_layers(features, fold != index, 1), {})
        out[fold == index] = logits_of(head, features, fold == index)
    return out


def left_out_figures(features: HarmFeatures, logits: Array) -> dict[str, Any]:
    """Figures of each left-out source with harmful replies, within its fold."""
    fold = np.array([fold_of(str(source)) for source in features.source])
    composed = features.source == COMPOSED_BENIGN
    found = {}
    for source in sorted(set(features.source[features.kind == "comply"].tolist())):
        same = fold == fold_of(source)
        harmful = logits[(features.source == source) & features.harmful]
        ordinary = logits[same & (features.kind == "benign") & ~composed]
        refused = logits[same & (features.kind == "refuse") & features.complies_known]
        found[source] = {"against ordinary": figures(harmful, ordinary)}
        if len(refused):
            found[source]["against refused"] = figures(harmful, refused)
    return found


def fit_categories(data: Path, store: VectorStore) -> dict[str, Array]:
    """Fit the category layer on requests that are not near a test request."""
    rows = category_rows(data)
    copied = near_copies([row.request for row, _ in rows], requests_of_tests(data))
    kept = [pair for pair, copy in zip(rows, copied, strict=True) if not copy]
    vectors = store.vectors([clip(row.request) for row, _ in kept])
    return under("category", fit_linear(vectors, [k for _, k in kept], c=3.0))


def fit_explicit_harm(data: Path, encoder: Encoder, store: VectorStore) -> Fitted:
    """Fit, calibrate on left-out sources, take the threshold from ordinary rows."""
    rows = [row for row in harm_rows(data) if row.source not in HELD_OUT]
    features = HarmFeatures(rows, store)
    logits = left_out_logits(features)
    weights = np.where(np.char.endswith(features.source, COMPOSED), 0.1, 1.0)
    weights[features.source == "resp_pku_saferlhf_pairs"] = 0.3
    tensors = fit_layers(features, np.ones(len(rows), bool))
    tensors |= fit_categories(data, store)
    tensors["score.calibration"] = calibrate(
        logits[features.has_reply],
        features.harmful[features.has_reply],
        weights[features.has_reply].astype(np.float32),
    )
    head = Head("explicit_harm", "unwritten", tensors, {})
    values = ExplicitHarm(encoder, head=head).score(ordinary_rows(data)).values
    scores = np.array([value for value in values if value is not None])
    threshold = float(np.quantile(scores, 1 - FLAGGED))
    slope, offset = (float(x) for x in tensors["score.calibration"])
    at = (np.log(threshold / (1 - threshold)) - offset) / slope
    names = {s.removesuffix(COMPOSED) for s in features.source.tolist()}
    return Fitted(
        name="explicit_harm",
        tensors=tensors,
        suggested_threshold=round(threshold, 4),
        sources=sorted((names | set(CATEGORY_SOURCES)) - {"contrast", "benign"}),
        held_out=HELD_OUT,
        rows=len(rows),
        figures={
            "left_out_sources": left_out_figures(features, logits),
            "at_threshold": _flagged(features, logits, at),
            "ordinary_rows": len(scores),
        },
    )


def _flagged(features: HarmFeatures, logits: Array, at: float) -> dict[str, Any]:
    """Share flagged at the threshold of each left-out source and kind."""
    found: dict[str, Any] = {}
    for source in sorted(set(features.source.tolist())):
        for kind in ("comply", "refuse", "benign", "over-refuse"):
            mine = (features.source == source) & (features.kind == kind)
            if mine.any():
                share = float(np.mean(logits[mine] > at))
                found.setdefault(source, {})[kind] = round(share, 4)
    return found
