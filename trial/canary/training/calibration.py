"""Sets the canary's operating point on held-out training prompts.

Every refusal opens with one word, so its output bias moves all refusal decisions
together: it is set where TARGET of the held-out answered prompts are refused. Harmless
prompts without a reply come from safety data: many were made to sound harmful, and some
are labelled wrongly.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from trial.canary.training.pool import Sample
from trial.canary.training.refusals import OPENING

TARGET: Final = 0.02


@torch.inference_mode()
def margins(model: Any, tokenizer: Any, prompts: Sequence[str]) -> torch.Tensor:
    """Logit of the refusal's opening word minus the best other one, (n,)."""
    refusal_token = tokenizer.convert_tokens_to_ids(OPENING)
    values = []
    for prompt in prompts:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
        )
        batch = tokenizer(text, add_special_tokens=False, return_tensors="pt")
        logits = model(input_ids=batch["input_ids"][:, -128:]).logits[0, -1].float()
        chosen = logits[refusal_token].item()
        logits[refusal_token] = float("-inf")
        values.append(chosen - logits.max().item())
    return torch.tensor(values)


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
