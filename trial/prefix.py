"""Prompts as a model takes them in; a beginning that all of them share is run once.

Under a system prompt or behind an opener most of every prompt is the same, and keys and
values of a token depend on nothing behind it. They are computed once and put before
each row where that row's own would be, its padding first, so that a batch looks as it
would without: masks, positions and sliding windows need not know.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from trial.base_model import BaseModel
from trial.position import positions

MIN_TOKENS: Final = 8
"""A shorter beginning in common is not worth a pass of its own."""


@dataclass(frozen=True)
class Prompts:
    """Ids and mask (rows, longest prompt), padded on the left.

    `first` is the place of a text's first token for the model. `cache` holds keys and
    values of the first `cached` columns, None where none are known yet. A model that
    goes on from it changes it.
    """

    ids: Tensor
    mask: Tensor
    first: int = 0
    cache: DynamicCache | None = None
    cached: int = 0

    @property
    def positions(self) -> Tensor:
        """Place of each token in its own prompt: counted from the first real one."""
        return positions(self.mask, self.first)

    @property
    def inputs(self) -> dict[str, Any]:
        """Return what a forward pass over all that is not cached takes."""
        return {
            "input_ids": self.ids[:, self.cached :],
            "attention_mask": self.mask,
            "position_ids": self.positions[:, self.cached :],
            "past_key_values": self.cache,
            "use_cache": True,
        }


@torch.inference_mode()
def lay_out(base: BaseModel, model: Any, prompts: Sequence[Sequence[int]]) -> Prompts:
    """Pad prompts (token ids), with what they share run through `model` as it stands.

    Nothing is shared where that saves nothing, or where the model's cache is not of
    plain keys and values with a place for each token.
    """
    ids, mask = pad(prompts, base, left=True)
    count = shared_tokens(prompts)
    if len(prompts) < 2 or count < MIN_TOKENS:
        return Prompts(ids, mask, base.first_position)
    cache = _run(base, model, prompts[0][:count])
    if cache is None:
        return Prompts(ids, mask, base.first_position)
    _spread(cache, (mask == 0).sum(1), count)
    return Prompts(ids, mask, base.first_position, cache, count)


def shared_tokens(prompts: Sequence[Sequence[int]]) -> int:
    """Count the tokens with which all begin, each with at least one more behind."""
    every = [tuple(prompt) for prompt in prompts]
    first, last = min(every), max(every)  # whatever these two share, all do
    same = [a == b for a, b in zip(first, last, strict=False)] + [False]
    return min(same.index(False), *(len(prompt) - 1 for prompt in every))


def pad(
    texts: Sequence[Sequence[int]], base: BaseModel, *, left: bool
) -> tuple[Tensor, Tensor]:
    """Ids and mask (rows, longest text), padded on one side, on the model's device."""
    width = max(len(text) for text in texts)
    ids = torch.full((len(texts), width), int(base.tokenizer.pad_token_id or 0))
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        part = slice(width - len(text), width) if left else slice(0, len(text))
        ids[row, part] = torch.tensor(text, dtype=torch.long)
        mask[row, part] = 1
    return ids.to(base.device), mask.to(base.device)


def _run(base: BaseModel, model: Any, shared: Sequence[int]) -> DynamicCache | None:
    """Return keys and values (1 row) of `shared`; None where the cache is not plain."""
    cache = DynamicCache(config=base.model.config)
    layers: list[Any] = cache.layers
    if not all(_is_plain(layer, len(shared)) for layer in layers):
        return None
    ids = torch.tensor([shared], device=base.device)
    mask = torch.ones_like(ids)
    model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions(mask, base.first_position),
        past_key_values=cache,
        use_cache=True,
    )
    filled = [
        layer.keys is not None and layer.keys.shape[-2] == len(shared)
        for layer in layers
    ]
    return cache if filled and all(filled) else None


def _is_plain(layer: object, tokens: int) -> bool:
    """Say whether a layer's cache will hold keys and values of each of the tokens."""
    if type(layer) is DynamicSlidingWindowLayer:
        return tokens < layer.sliding_window
    return type(layer) is DynamicLayer


def _spread(cache: DynamicCache, padding: Tensor, count: int) -> None:
    """Give every row the keys and values of its first `count` columns.

    `padding` (rows) says how many of them come before the first token; what stands
    there is hidden by the mask. A row with padding has not all of the beginning in
    them: the rest of it is run again, in place of the padding that it would have there.
    """
    columns = torch.arange(count, device=padding.device)
    tokens = (columns - padding[:, None]).clamp(min=0)
    layers: list[Any] = cache.layers
    for layer in layers:
        # (heads, tokens, size) -> (heads, rows, tokens, size) -> rows first
        layer.keys = layer.keys[0][:, tokens].transpose(0, 1).contiguous()
        layer.values = layer.values[0][:, tokens].transpose(0, 1).contiguous()
