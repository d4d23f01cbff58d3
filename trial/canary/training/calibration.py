"""Sets the canary's operating point on held-out training prompts.

Every refusal opens with one word, so its output bias moves all refusal decisions
together: it is set where TARGET of the held-out answered prompts are refused. Harmless
prompts without a reply come from safety data: many were made to sound harmful, and some
are labelled wrongly.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import nn

from trial.canary.training.pool import Sample
from trial.canary.training.refusals import OPENING

TARGET: Final = 0.02
PROMPT_TOKENS: Final = 128
BATCH: Final = 32


@torch.inference_mode()
def margins(model: Any, tokenizer: Any, prompts: Sequence[str]) -> torch.Tensor:
    """Logit of the refusal's opening word minus the best other one, (n,)."""
    refusal_token = tokenizer.convert_tokens_to_ids(OPENING)
    asked = [_prompt_ids(tokenizer, prompt) for prompt in prompts]
    order = sorted(range(len(asked)), key=lambda i: len(asked[i]))
    values = torch.zeros(len(asked))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        rows = [torch.tensor(asked[i]) for i in chosen]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        last = torch.tensor([len(row) - 1 for row in rows])
        # The model is causal: what is padded behind a prompt changes nothing in it.
        logits = model(input_ids=ids).logits[torch.arange(len(rows)), last].float()
        refused = logits[:, refusal_token].clone()
        logits[:, refusal_token] = float("-inf")
        values[chosen] = refused - logits.max(1).values
    return values


def _prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}],
        tokenize=False,
        add_generation_prompt=True,
    )
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids[-PROMPT_TOKENS:]


def calibrate(
    model: Any, tokenizer: Any, held: Sequence[Sample], *, log: Callable[[str], None]
) -> float:
    """Shift the opening word's output bias in place; returns the shift in nats."""
    harmless = [s.prompt for s in held if s.reply]
    harmful = [s.prompt for s in held if s.harmful]
    calm = margins(model, tokenizer, harmless)
    alarmed = margins(model, tokenizer, harmful)
    shift = -float(torch.quantile(calm, 1 - TARGET))
    for name, values in (("answered", calm), ("harmful", alarmed)):
        before = (values > 0).float().mean().item()
        after = (values + shift > 0).float().mean().item()
        log(f"held-out {name} refused: {before:.3f} -> {after:.3f} (shift {shift:.2f})")
    token = tokenizer.convert_tokens_to_ids(OPENING)
    with torch.no_grad():
        model.cls.predictions.bias[token] += shift
    return shift
