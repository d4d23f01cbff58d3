"""Greedy replies in batches, the same for a prompt alone or among others."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from peft import PeftModel
from transformers import GenerationConfig

from detectors.errors import TrialError
from trial.base_model import BaseModel

NEW_TOKENS: Final = 32
BATCH_SIZE: Final = 128

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
    length and padded on the left; positions count from the first real token, so that a
    reply does not depend on its neighbours (up to rounding). Stops at end of sequence.
    Raises TrialError where a prompt leaves no room for a reply.
    """
    longest = max((len(p) for p in prompts), default=0)
    if longest + max_new_tokens > base.max_positions:
        raise TrialError(
            f"a probe is {longest} tokens long: with {max_new_tokens} for the reply "
            f"that exceeds the model's {base.max_positions} positions"
        )
    config = _greedy(base, max_new_tokens)
    speaker: Any = model or base.model
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    replies = [""] * len(prompts)
    done = 0
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        texts = _reply_batch(base, speaker, [prompts[i] for i in rows], config)
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
    config: GenerationConfig,
) -> list[str]:
    width = max(len(p) for p in prompts)
    ids = torch.full((len(prompts), width), int(base.tokenizer.pad_token_id or 0))
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    out = speaker.generate(
        input_ids=ids.to(base.device),
        attention_mask=mask.to(base.device),
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0).to(base.device),
        generation_config=config,
    )
    return [
        str(text).strip()
        for text in base.tokenizer.batch_decode(
            out[:, width:], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
    ]


def _greedy(base: BaseModel, max_new_tokens: int) -> GenerationConfig:
    """Greedy whatever the model's own generation settings say, but its own stops."""
    own = base.model.generation_config.eos_token_id
    stops = {base.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}
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
        eos_token_id=sorted(s for s in stops if s is not None),
        pad_token_id=base.tokenizer.pad_token_id,
        use_cache=True,
    )
    return config
