"""Fits identity_shift: a layer for windows of messages, a reader of sentences."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from detectors.cross_encoder import cross_encoder
from detectors.dataset import Dataset
from detectors.embedding import Encoder
from detectors.head import Head
from detectors.identity.statement import SENTENCE, segment_features
from detectors.identity_shift import IdentityShift
from detectors.persona import rule_features
from detectors.training.adapter import adapter_file
from detectors.training.embedded import VectorStore
from detectors.training.fit import (
    MEMBERS,
    Array,
    Flags,
    calibrate,
    figures,
    fit_mlp,
    under,
)
from detectors.training.ordinary import UNSEEN
from detectors.training.personas import Segment, compose_segments
from detectors.training.risk import ordinary_files
from detectors.training.sources import (
    clip,
    distinct,
    near_copies,
    read_source,
    requests_of_tests,
    sample,
)
from detectors.training.statement_layer import fit_statements, ordinary_repeats
from detectors.training.write import Fitted

COMPOSED_SEGMENTS: Final = 9000
FOLDS: Final = 5
OFTEN: Final = 0.002
"""Share of an ordinary source that may be flagged. Less than other detectors allow:
vows score so high that the recall falls only beyond it (benchmark/LOG.md)."""
REPLIES: Final[dict[str, int]] = {
    "benign_alpaca_12k_en_de": 1200,
    "benign_alpaca_eval_outputs": 800,
    "benign_chatdoctor": 300,
    "benign_gpteacher": 300,
    "resp_alpaca_dolly_safety_only": 500,
    "resp_llama2_refusals_sft": 400,
    "resp_safety_tuned_llamas": 500,
    "identity_benign_roleplay_gpteacher": 800,
}
"""Ordinary requests and replies: neither teaches obedience."""
PROMPTS: Final[dict[str, int]] = {
    "prompt_anthropic_persona_evals": 800,
    "prompt_advbench": 300,
    "prompt_safety_tuned_eval": 300,
    "prompt_toxicchat": 900,
}
"""Requests that are about AI or harmful, without giving the assistant a persona."""


def segments(data: Path) -> list[Segment]:
    """Every training segment; none near a text of a test source."""
    rows = [
        *compose_segments(COMPOSED_SEGMENTS),
        *_system_prompts(data),
        *_ordinary(data),
        *_jailbreaks(data),
    ]
    copied = near_copies([row.text for row in rows], requests_of_tests(data))
    return [row for row, copy in zip(rows, copied, strict=True) if not copy]


def _system_prompts(data: Path) -> Iterator[Segment]:
    """System prompts of products, and act-as prompts: personas that keep rules."""
    name = "identity_system_prompts"
    for row in read_source(data, name):
        if row.label.get("identity_shift") is False:
            yield Segment("system", clip(row.system), False, name)
            yield Segment("user", clip(row.system), False, name)
    name = "resp_configurable_safety_tuning"
    for row in sample(read_source(data, name), 1200, name):
        free = "uncensored" in row.system
        if not free:
            yield Segment("system", clip(row.system), False, name)
            yield Segment("assistant", clip(row.reply), False, name)


def _ordinary(data: Path) -> Iterator[Segment]:
    for name, count in REPLIES.items():
        for row in sample(list(distinct(read_source(data, name))), count, name):
            yield Segment("user", clip(row.request), False, name)
            if row.reply:
                yield Segment("assistant", clip(row.reply), False, name)
    for name, count in PROMPTS.items():
        rows = [r for r in read_source(data, name) if not r.label.get("jailbreak")]
        for row in sample(rows, count, name):
            yield Segment("user", clip(row.request), False, name)


def _jailbreaks(data: Path) -> Iterator[Segment]:
    """Prompts that force a persona without rules; the same as a system prompt."""
    name = "prompt_inthewild_jailbreak"
    for row in distinct(read_source(data, name)):
        text = clip(row.request)
        yield Segment("user", text, True, name, text)
        yield Segment("system", text, True, name, text)


class SegmentFeatures:
    """Features and labels of the segments: arrays aligned with them."""

    def __init__(self, found: Sequence[Segment], store: VectorStore) -> None:
        texts = [segment.text for segment in found]
        roles = [segment.role for segment in found]
        self.x = segment_features(roles, store.vectors(texts), rule_features(texts))
        self.obedient: Flags = np.array([segment.obedient for segment in found])
        self.source = np.array([segment.source for segment in found])
        groups = [segment.group or segment.source for segment in found]
        self.fold = np.array([zlib.crc32(g.encode()) % FOLDS for g in groups])


def fit_segment_layer(
    features: SegmentFeatures, chosen: Flags, members: int = MEMBERS
) -> dict[str, Array]:
    """Fit the layer on the chosen segments."""
    layer = fit_mlp(
        features.x[chosen],
        features.obedient[chosen],
        hidden=32,
        alpha=1e-2,
        epochs=10,
        members=members,
    )
    return under("segment", layer)


def left_out_logits(features: SegmentFeatures) -> Array:
    """Logits of every segment by a layer that never saw its group.

    Left out are whole public sources, whole forms of composed text (with all their
    fillings), and single jailbreak prompts, of which there is one source only.
    """
    out = np.zeros(len(features.fold), np.float32)
    for index in range(FOLDS):
        left = features.fold == index
        head = Head("left out", "", fit_segment_layer(features, ~left, 1), {})
        out[left] = head.logits("segment", features.x[left])[:, 0]
    return out


def fit_identity_shift(data: Path, encoder: Encoder, store: VectorStore) -> Fitted:
    """Fit, calibrate on left-out sources, take the threshold from ordinary rows."""
    found = segments(data)
    features = SegmentFeatures(found, store)
    logits = left_out_logits(features)
    tensors = fit_segment_layer(features, np.ones(len(found), bool))
    weights = np.ones(len(found), np.float32)
    tensors["segment.calibration"] = calibrate(logits, features.obedient, weights)
    statements = fit_statements(data, store.directory)
    tensors[f"{SENTENCE}.calibration"] = statements.calibration
    reader = cross_encoder(statements.adapted.weights, statements.adapted.record)
    tensors |= ordinary_repeats(data, reader, tensors)
    head = Head("identity_shift", "unwritten", tensors, {})
    detector = IdentityShift(encoder, head=head, reader=reader, groups=False)
    threshold, flagged = _threshold(detector, ordinary_files(data))
    return Fitted(
        name="identity_shift",
        tensors=tensors,
        suggested_threshold=round(threshold, 4),
        sources=sorted(
            {s for s in features.source.tolist() if "composed" not in s}
            | statements.sources
        ),
        held_out=UNSEEN,
        rows=len(found) + statements.sentences,
        figures={
            "left_out_sources": {**_left_out(features, logits), **statements.figures},
            "ordinary_rows": len(flagged),
            "ordinary_flagged": round(float(np.mean(flagged)), 4),
        },
        adapter=adapter_file(SENTENCE, statements.adapted),
    )


def _threshold(
    detector: IdentityShift, files: Mapping[str, Dataset]
) -> tuple[float, Flags]:
    """Return the score that OFTEN of the strictest file exceed, and who does (n,)."""
    scored = []
    for rows in files.values():
        values = [v for v in detector.score(rows).values if v is not None]
        scored.append(np.asarray(values, np.float64))
    strictest = max(float(np.quantile(v, 1 - OFTEN)) for v in scored)
    threshold = max(0.5, strictest)
    return threshold, np.concatenate(scored) >= threshold


def _left_out(features: SegmentFeatures, logits: Array) -> dict[str, Any]:
    """Figures of the two kinds of obedient segments against the harmless ones."""
    ordinary = ~features.obedient & (np.char.find(features.source, "composed") < 0)
    twins = ~features.obedient & ~ordinary
    return {
        source: {
            "against public rows": figures(
                _of(features, logits, source), logits[ordinary]
            ),
            "against composed twins": figures(
                _of(features, logits, source), logits[twins]
            ),
        }
        for source in sorted(set(features.source[features.obedient].tolist()))
    }


def _of(features: SegmentFeatures, logits: Array, source: str) -> Array:
    return np.asarray(logits[(features.source == source) & features.obedient])
