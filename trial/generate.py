"""Greedy replies in batches, the same for a prompt alone or among others."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from peft import PeftModel
from transformers import GenerationConfig

from detectors.errors import TrialError
from trial.base_model import BaseModel
from trial.position import positions
from trial.prefix import lay_out

NEW_TOKENS: Final = 32
BATCH_SIZE: Final = 192
"""At most; what is more is cut into parts of one size."""

STAGE_TOKENS: Final = 8
"""After so many tokens the rows that have ended are left out of a batch."""

Advance = Callable[[int, int], None]


def generate_replies(
    base: BaseModel,
    prompts: Sequence[Sequence[int]],
    *,
    model: PeftModel | None = None,
    max_new_tokens: int = NEW_TOKENS,
    batch_size: int = BATCH_SIZE,
    advance: Advance | None = None,
) -> list[str]:
    """One greedy reply per prompt (token ids), in order, special tokens removed.

    `model` is the adapted model, None the base as it stands. Prompts are batched by
    length and padded on the left, and what a batch's prompts begin with in common is
    run once; positions count from the first real token, so that a reply does not depend
    on its neighbours (up to rounding). Stops at end of sequence.
    Raises TrialError where a prompt leaves no room for a reply.
    """
    longest = max((len(p) for p in prompts), default=0)
    if longest + max_new_tokens > base.max_positions:
        raise TrialError(
            f"a probe is {longest} tokens long: with {max_new_tokens} for the reply "
            f"that exceeds the model's {base.max_positions} positions"
        )
    speaker: Any = model or base.model
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    replies = [""] * len(prompts)
    done = 0
    parts = math.ceil(len(order) / batch_size) or 1
    size = math.ceil(len(order) / parts) or 1
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        texts = _reply_batch(base, speaker, [prompts[i] for i in rows], max_new_tokens)
        for row, text in zip(rows, texts, strict=True):
            replies[row] = text
        done += len(rows)
        if advance:
            advance(done, len(order))
    return replies


@torch.inference_mode()
def _reply_batch(
    base: BaseModel,
    speaker: Any,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
) -> list[str]:
    """Reply in stages; rows whose reply has ended take no part in the next one."""
    asked = lay_out(base, speaker, prompts)
    ids, mask, cache = asked.ids, asked.mask, asked.cache
    stops = torch.tensor(_stops(base), device=base.device)
    said: list[list[int]] = [[] for _ in prompts]
    going, left = list(range(len(prompts))), max_new_tokens
    while going and left:
        stage = min(STAGE_TOKENS, left)
        out = speaker.generate(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions(mask, base.first_position),
            past_key_values=cache,
            generation_config=_greedy(base, stage),
        )
        new = out.sequences[:, ids.shape[1] :]
        for row, tokens in zip(going, new.tolist(), strict=True):
            said[row] += tokens
        kept = (~torch.isin(new, stops).any(1)).nonzero().squeeze(1)
        going, left = [going[k] for k in kept.tolist()], left - stage
        # Mamba hands no cache out: the next stage reads all again.
        ids, cache = out.sequences[kept], getattr(out, "past_key_values", None)
        mask = torch.cat([mask, torch.ones_like(new)], 1)[kept]
        if going and left and cache is not None:
            cache.reorder_cache(kept)
    return [text.strip() for text in _decoded(base, said)]


def _decoded(base: BaseModel, said: list[list[int]]) -> list[str]:
    return [
        str(text)
        for text in base.tokenizer.batch_decode(
            said, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
    ]


def _stops(base: BaseModel) -> list[int]:
    """Return the tokens that end a reply: the tokenizer's and the model's own."""
    own = base.model.generation_config.eos_token_id
    stops = {base.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}
    return sorted(s for s in stops if s is not None)


def _greedy(base: BaseModel, max_new_tokens: int) -> GenerationConfig:
    """Greedy whatever the model's own generation settings say, but its own stops."""
    kind: Any = GenerationConfig
    config: GenerationConfig = kind(
        do_sample=False,
        num_beams=1,
        temperature=1.0,
        top_p=1.0,
        top_k=50,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        max_length=None,
        max_new_tokens=max_new_tokens,
        eos_token_id=_stops(base),
        pad_token_id=base.tokenizer.pad_token_id,
        use_cache=True,
        return_dict_in_generate=True,
    )
    return config
