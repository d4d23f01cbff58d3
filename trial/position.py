"""Position: the number that a model gives to the first token of a text."""

import inspect
from typing import Any, Final

import torch
from torch import Tensor

TOKENS: Final = 4
SAME: Final = 0.05
"""Logits that differ by less than this part of their spread differ by rounding: of
another kernel, or of fewer bits."""


@torch.inference_mode()
def first_position(model: Any) -> int | None:
    """Return the number with which a model by itself begins to count; None: unknown.

    0 for most, and for all that take no positions. RoBERTa and its kin begin behind
    that of the padding token (fairseq's `make_positions`), and a model that is handed
    positions from 0 on reads a text as it was never trained to. How it counts is seen
    by its logits.
    """
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return 0
    padding = getattr(model.config, "pad_token_id", None)
    size = int(model.get_input_embeddings().weight.shape[0])
    known = [n for n in range(min(size, TOKENS + 1)) if n != padding][:TOKENS]
    ids = torch.tensor([known], device=model.device)
    asked = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    own: Tensor = model(**asked).logits.float()
    for first in (0, *([padding + 1] if isinstance(padding, int) else [])):
        places = torch.arange(first, first + len(known), device=ids.device)[None]
        given: Tensor = model(**asked, position_ids=places).logits.float()
        if (own - given).square().mean().sqrt() <= SAME * own.std():
            return first
    return None


def positions(mask: Tensor, first: int = 0) -> Tensor:
    """Place of each token among those of its row that `mask` does not hide."""
    return (mask.cumsum(-1) - 1).clamp(min=0) + first
