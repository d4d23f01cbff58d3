"""Causal attention in bf16 on a processor, as matrix products over blocks of queries.

torch's own kernel for it is two to four times slower there at the lengths and head
sizes of small models (benchmark/LOG.md), which is up to a third of a training step.
"""

import math
from typing import Any, Final

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from detectors.embedding import supports_bf16

NAME: Final = "blockwise"
BLOCK: Final = 128
"""Queries at once: their scores stay in the cache, and see no later keys."""
EXTRAS: Final = ("cache", "position_bias", "s_aux")
"""What some families add to attention."""


def use_blockwise(model: PreTrainedModel) -> None:
    """Have a model on a processor that knows bf16 attend blockwise, where it can."""
    if model.device.type != "cpu" or not supports_bf16(model.device):
        return
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(NAME)


def causal_attention(
    query: Tensor, key: Tensor, value: Tensor, scaling: float
) -> Tensor:
    """Attend from each place to itself and those before it; all (b, heads, n, d)."""
    batch, heads, length, size = query.shape
    flat = (batch * heads, length, size)
    q, v = query.reshape(flat), value.reshape(flat)
    k = key.reshape(flat).transpose(1, 2)
    found = []
    for start in range(0, length, BLOCK):
        end = min(start + BLOCK, length)
        ahead = q.new_full((end - start, end), -math.inf).triu(start + 1)
        ahead = ahead.expand(flat[0], -1, -1)
        scores = torch.baddbmm(ahead, q[:, start:end], k[:, :, :end], alpha=scaling)
        found.append(torch.bmm(scores.softmax(-1), v[:, :end]))
    return torch.cat(found, 1).view(batch, heads, length, size)


def _forward(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers asks for it: what is not plainly causal, as torch does."""
    if attention_mask is not None or not _plain(module, query, key, value, more):
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **more
        )
        return found
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    q, k, v = (tensor.to(torch.bfloat16) for tensor in (query, key, value))
    attended = causal_attention(q, k, v, scaling)
    return attended.transpose(1, 2).contiguous(), None


def _plain(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    more: dict[str, Any],
) -> bool:
    """Say whether a sequence is over itself, in bf16, and nothing else is asked."""
    causal = more.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    same = query.shape == key.shape == value.shape
    special = any(more.get(name) for name in ("dropout", "softcap"))
    special |= any(more.get(name) is not None for name in EXTRAS)
    return bool(causal and same and not special and _rough(query))


def _rough(query: Tensor) -> bool:
    """Say whether torch would compute in bf16 there."""
    kind = query.device.type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind) == torch.bfloat16
    return query.dtype == torch.bfloat16


AttentionInterface.register(NAME, _forward)
AttentionMaskInterface.register(NAME, sdpa_mask)
