"""Proof that the tuned replies come from a tuned model."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from peft import PeftModel

from trial.base_model import BaseModel
from trial.batch import pad
from trial.chat import TokenSequence

PROOF_SEQUENCES: Final = 32
"""Training sequences the proof is measured on; of more, a seeded choice."""

MIN_LOGIT_CHANGE: Final = 1e-4
"""Mean absolute logit change under which an adapter counts as not applied."""


@dataclass(frozen=True, slots=True)
class AdapterProof:
    """Evidence that the tuned replies came from a tuned model.

    `loss_before`/`loss_after`: mean reply loss in nats per token on the training rows,
    with the adapter off and on. `logit_change`: mean absolute difference of the logits
    on those rows, adapter on against off. `applied` only if both moved as they must.
    """

    loss_before: float
    loss_after: float
    logit_change: float
    applied: bool


@torch.inference_mode()
def prove_adapter(
    model: PeftModel,
    base: BaseModel,
    sequences: Sequence[TokenSequence],
    *,
    seed: int = 0,
) -> AdapterProof:
    """Run training rows with the adapter off and on; both must differ as they should.

    On at most PROOF_SEQUENCES of them, in the precision they were trained in; an
    adapter that is not applied gives exactly equal figures.
    """
    kept = list(sequences)
    random.Random(f"proof {seed}").shuffle(kept)
    kept = sorted(kept[:PROOF_SEQUENCES], key=lambda s: len(s.ids))
    off = on = moved = 0.0
    targets = values = 0
    for start in range(0, len(kept), 8):
        rows = kept[start : start + 8]
        batch = pad(rows, base)
        with base.autocast():
            with model.disable_adapter():
                plain = batch.logits(model)
            adapted = batch.logits(model)
        count = sum(s.target_count for s in rows)
        off += batch.loss(plain).item() * count
        on += batch.loss(adapted).item() * count
        change = (adapted.float() - plain.float()).abs()
        moved += change.sum().item()
        targets += count
        values += change.numel()
    before, after, logit_change = off / targets, on / targets, moved / values
    applied = after < before and logit_change > MIN_LOGIT_CHANGE
    return AdapterProof(before, after, logit_change, applied)


def why_unproved(proof: AdapterProof) -> str:
    """Say in words why an adapter that is not `applied` proves nothing."""
    if not proof.logit_change > MIN_LOGIT_CHANGE:
        return (
            "the adapter changed nothing (mean logit change "
            f"{proof.logit_change:.2g}): check the targets, raise the learning rate"
        )
    return (
        f"the training loss did not fall ({proof.loss_before:.3f} to "
        f"{proof.loss_after:.3f} nats per token): the recipe does not learn this data; "
        "change learning_rate_multiplier or epochs"
    )
