"""What a fine-tune may be held back by, so that it keeps the base model's refusals."""

from collections.abc import Callable
from typing import Any, Final

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn.functional import kl_div

FIRST_TOKENS: Final = 5
"""Reply tokens held near the base model: most drift sits there (arXiv 2406.05946)."""


def weight_distance(model: PeftModel) -> Tensor:
    """Sum over adapted layers of |W - W0|^2 (Frobenius), without making any of them.

    The change is s B A with B (out, r) and A (r, in), and |B A|^2 is the trace of
    (B'B)(AA'): two r x r products.
    """
    total = torch.zeros((), device=next(model.parameters()).device)
    for module in model.modules():
        layer: Any = module
        if not hasattr(layer, "lora_A"):
            continue
        for name, down in layer.lora_A.items():
            a, b = down.weight.float(), layer.lora_B[name].weight.float()
            total = total + layer.scaling[name] ** 2 * ((b.T @ b) * (a @ a.T)).sum()
    return total


@torch.no_grad()
def base_first_tokens(
    model: PeftModel, logits: Callable[[PeftModel], Tensor], first: Tensor
) -> Tensor:
    """Log-probabilities (first, vocabulary) of the base model where `first` is true.

    `first` (n) marks those of the places that `logits` (n, vocabulary) gives which
    predict one of the first tokens of a reply. To be called before the tuned model
    runs: it switches the adapter off and on.
    """
    with model.disable_adapter():
        found = logits(model)
    return found[first].float().log_softmax(-1)


def first_positions(kept: Tensor) -> Tensor:
    """Mark (n) which of the n places of `kept` predict a row's FIRST_TOKENS first.

    `kept` (rows, places) marks the places where a row has a token to learn.
    """
    first: Tensor = kept.cumsum(1) <= FIRST_TOKENS
    return first[kept]


def first_token_kl(before: Tensor, logits: Tensor, first: Tensor) -> Tensor:
    """Mean KL(base || tuned) in nats a token over the positions of `first`."""
    after = logits[first].float().log_softmax(-1)
    return kl_div(after, before, log_target=True, reduction="batchmean")
