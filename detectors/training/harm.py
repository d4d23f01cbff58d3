"""Fits explicit_harm: layers over frozen embeddings and the pair reader's adapter."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from detectors.cross_encoder import PairReader, cross_encoder
from detectors.embedding import Encoder
from detectors.explicit_harm import ADAPTER, ExplicitHarm
from detectors.harm.layers import (
    combine,
    compliance_features,
    discount,
    joint,
    pair_features,
)
from detectors.harm.pair import pieces, reply_pieces
from detectors.harm.paired import worst_pairs
from detectors.head import Head
from detectors.refusal import OPENING_CHARS, refusal_features
from detectors.training.adapter import adapter_file, fit_adapter, is_left_out
from detectors.training.categories import CATEGORY_SOURCES, category_rows
from detectors.training.cross_rows import cross_rows
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
from detectors.training.harm_rows import harm_rows, keep_out
from detectors.training.hate_rows import hate_rows
from detectors.training.lay_rows import lay_rows
from detectors.training.ordinary import HELD_OUT, ordinary_rows
from detectors.training.reworded_rows import reworded_rows
from detectors.training.rows import COMPOSED_BENIGN, HarmRow, source_of
from detectors.training.sources import (
    clip,
    near_copies,
    requests_of_tests,
)
from detectors.training.write import Fitted

UNWRITTEN: Final = {"suggested_threshold": 1.0}
"""The record of a head that is not written yet: it flags nothing."""
FLAGGED: Final = 0.002
"""Of the strictest ordinary source: a customer's may be stricter still."""
OWN: Final = {"benign", "contrast", "lay", "security", "turns"}
"""Rows that we wrote or composed: no public source."""


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
    source = source_of(row.source)
    mixed = source in ("resp_gptfuzz_labeled", "resp_pku_saferlhf_pairs")
    steered = source == "resp_refusal_direction_runs"
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


@dataclass(frozen=True)
class LeftOut:
    """Logits (n,) of left-out rows by readers that never saw their sources."""

    rows: tuple[HarmRow, ...]
    by_judge: dict[str, Array]

    @property
    def harmful(self) -> Flags:
        """Which rows are harmful: (n,)."""
        return np.array([row.harmful for row in self.rows])

    @property
    def weights(self) -> Array:
        """How much each row tells of scores to come: composed replies less."""
        return np.array(
            [0.1 if row.source != source_of(row.source) else 1.0 for row in self.rows],
            np.float32,
        )


def left_out(
    rows: Sequence[HarmRow], features: HarmFeatures, reader: PairReader
) -> LeftOut:
    """Judge the left-out rows that have a reply, by each reader and by both."""
    away = np.array([is_left_out(row.source) for row in rows])
    chosen = away & features.has_reply
    head = Head("left out", "", fit_layers(features, ~away, 1), {})
    kept = tuple(row for row, keep in zip(rows, chosen, strict=True) if keep)
    frozen = logits_of(head, features, chosen)
    paired = worst_pairs(
        [[text for text, _ in pieces(row.request)] or [""] for row in kept],
        [reply_pieces(row.reply) for row in kept],
        reader,
    )
    both = joint(frozen, paired.logits) - discount(paired.counts)
    by_judge = {"frozen": frozen, "cross-encoder": paired.logits, "joint": both}
    return LeftOut(kept, by_judge)


def left_out_figures(found: LeftOut, logits: Array) -> dict[str, Any]:
    """Figures of each left-out source with harmful replies."""
    source = np.array([row.source for row in found.rows])
    kind = np.array([row.kind for row in found.rows])
    ordinary = logits[(kind == "benign") & (source != COMPOSED_BENIGN)]
    mixed = np.char.startswith(source, "resp_gptfuzz_labeled") & ~found.harmful
    refused = logits[(kind == "refuse") & ~mixed]
    return {
        name: {
            "against ordinary": figures(harmful, ordinary),
            "against refused": figures(harmful, refused),
        }
        for name in sorted(set(source[found.harmful].tolist()))
        for harmful in [logits[(source == name) & found.harmful]]
    }


def pooled_figures(found: LeftOut) -> dict[str, Any]:
    """Figures over all left-out rows that people or models answered, by judge."""
    real = found.weights == 1.0
    return {
        judge: figures(logits[real & found.harmful], logits[real & ~found.harmful])
        for judge, logits in found.by_judge.items()
    }


def fit_categories(data: Path, store: VectorStore) -> dict[str, Array]:
    """Fit the category layer on requests that are not near a test request."""
    rows = category_rows(data)
    copied = near_copies([row.request for row, _ in rows], requests_of_tests(data))
    kept = [pair for pair, copy in zip(rows, copied, strict=True) if not copy]
    vectors = store.vectors([clip(row.request) for row, _ in kept])
    return under("category", fit_linear(vectors, [k for _, k in kept], c=3.0))


def fit_explicit_harm(data: Path, encoder: Encoder, store: VectorStore) -> Fitted:
    """Fit, calibrate on left-out sources, take the threshold from ordinary rows."""
    found = [*harm_rows(data), *keep_out([*hate_rows(data), *lay_rows()], data)]
    told = [row for row in found if row.source not in HELD_OUT]
    rows = [*told, *keep_out(reworded_rows(told), data)]
    features = HarmFeatures(rows, store)
    tensors = fit_layers(features, np.ones(len(rows), bool))
    tensors |= fit_categories(data, store)
    taught = cross_rows(data)
    adapted = fit_adapter(taught, store.directory)
    away = left_out(rows, features, adapted.unaware)
    both = away.by_judge["joint"]
    tensors["score.calibration"] = calibrate(both, away.harmful, away.weights)
    reader = cross_encoder(adapted.weights, adapted.record)
    head = Head("explicit_harm", "unwritten", tensors, UNWRITTEN)
    detector = ExplicitHarm(encoder, head=head, reader=reader)
    threshold, ordinary = _threshold(detector, data)
    names = {source_of(r.source) for r in [*rows, *taught]}
    return Fitted(
        name="explicit_harm",
        tensors=tensors,
        suggested_threshold=round(threshold, 4),
        sources=sorted((names | set(CATEGORY_SOURCES)) - OWN),
        held_out=HELD_OUT,
        rows=len(taught),
        figures={
            "left_out_sources": left_out_figures(away, both),
            "left_out_by_judge": pooled_figures(away),
            "at_threshold": _flagged(away, both, _logit_at(threshold, tensors)),
            "ordinary_rows": ordinary,
        },
        adapter=adapter_file(ADAPTER, adapted),
    )


def _threshold(detector: ExplicitHarm, data: Path) -> tuple[float, int]:
    """Return the score that FLAGGED of the strictest ordinary source exceed, and n.

    Ordinary sources differ more than their rows do, and a customer's is another one.
    """
    dataset = ordinary_rows(data)
    by_source: dict[str, list[float]] = {}
    for example, value in zip(dataset, detector.score(dataset).values, strict=True):
        if value is not None:
            by_source.setdefault(example.origin.file, []).append(value)
    strictest = max(np.quantile(v, 1 - FLAGGED) for v in by_source.values())
    return float(strictest), sum(map(len, by_source.values()))


def _logit_at(threshold: float, tensors: dict[str, Array]) -> float:
    slope, offset = (float(x) for x in tensors["score.calibration"])
    return float((np.log(threshold / (1 - threshold)) - offset) / slope)


def _flagged(found: LeftOut, logits: Array, at: float) -> dict[str, Any]:
    """Share flagged at the threshold of each left-out source and kind."""
    shares: dict[str, Any] = {}
    groups: dict[tuple[str, str], list[int]] = {}
    for index, row in enumerate(found.rows):
        groups.setdefault((row.source, row.kind), []).append(index)
    for (source, kind), mine in sorted(groups.items()):
        share = float(np.mean(logits[mine] > at))
        shares.setdefault(source, {})[kind] = round(share, 4)
    return shares
