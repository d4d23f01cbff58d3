"""Utility: the customer's own rows, not trained on, before and after."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn.functional import cross_entropy

from trial.base_model import BaseModel
from trial.batch import Batch, pad
from trial.chat import TokenSequence
from trial.statistics.mean import MeanChange, mean_change

BATCH_ROWS: Final = 8


@dataclass(frozen=True, slots=True)
class Utility:
    """Loss on held-out rows (nats per reply token, mean over rows); lower is better.

    `loss` is None where no row was held out; `rule` says how many were, or why none.
    """

    loss: MeanChange | None
    rule: str


def measure_utility(
    model: PeftModel,
    base: BaseModel,
    rows: Sequence[Sequence[TokenSequence]],
    rule: str,
) -> Utility:
    """Compare the loss on `rows` with the adapter off and on, row by row."""
    if not rows:
        return Utility(None, rule)
    with model.disable_adapter():
        before = row_losses(model, base, rows)
    return Utility(mean_change(before, row_losses(model, base, rows)), rule)


@torch.inference_mode()
def row_losses(
    model: Any, base: BaseModel, rows: Sequence[Sequence[TokenSequence]]
) -> list[float]:
    """Mean nats per reply token of each row; a row may be several sequences."""
    flat = [(number, s) for number, row in enumerate(rows) for s in row]
    flat.sort(key=lambda item: len(item[1].ids))
    sums, counts = [0.0] * len(rows), [0] * len(rows)
    for start in range(0, len(flat), BATCH_ROWS):
        part = flat[start : start + BATCH_ROWS]
        batch = pad([s for _, s in part], base)
        found = _summed(batch.logits(model), batch)
        for (number, sequence), loss in zip(part, found, strict=True):
            sums[number] += loss
            counts[number] += sequence.target_count
    return [total / count for total, count in zip(sums, counts, strict=True)]


def _summed(logits: Tensor, batch: Batch) -> list[float]:
    """Nats of each sequence; logits (n, vocabulary)."""
    nats = cross_entropy(logits.float(), batch.learnt, reduction="none")
    rows = batch.kept.nonzero()[:, 0]
    found = nats.new_zeros(len(batch.targets)).index_add(0, rows, nats)
    return [float(n) for n in found]
