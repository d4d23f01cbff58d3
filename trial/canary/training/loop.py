"""The canary's training loop."""

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch

from trial.canary.training.batches import Encoded, batches_of, collate
from trial.canary.training.losses import Learner, Losses

NOTE_EVERY: Final = 50
SAVE_EVERY: Final = 250


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast: `steps` batches, the rate a cosine down to `final_share`.

    `checkpoint` is where training goes on from, if it exists, and is kept.
    """

    steps: int
    learning_rate: float
    final_share: float
    checkpoint: Path
    seed: int = 0


def train(
    learner: Learner,
    rows: Sequence[Encoded],
    *,
    pad: int,
    plan: Plan,
    log: Callable[[str], None],
) -> list[float]:
    """Train in place; returns the sum of the losses of each step."""
    learner.model.set_attn_implementation("eager")  # on a CPU a third faster than SDPA
    optimizer = torch.optim.AdamW(
        learner.parameters(),
        lr=plan.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=0.05,
        fused=True,
    )
    losses = _resume(learner, optimizer, plan.checkpoint)
    order = _order(rows, plan)
    log(f"steps {len(losses)} to {plan.steps} over {len(rows)} rows")
    progress = _Progress(log)
    for step in range(len(losses), plan.steps):
        share = rate_share(step, plan.steps, plan.final_share)
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * share
        batch = collate([rows[i] for i in order[step]], pad)
        found: Losses = learner(batch)
        optimizer.zero_grad()
        torch.autograd.backward(found.total)
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        losses.append(found.total.item())
        progress.add(found, batch.refuse, batch.ids.numel())
        if (step + 1) % NOTE_EVERY == 0:
            progress.note(step + 1)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == plan.steps:
            _save(learner, optimizer, losses, plan.checkpoint)
    return losses


def rate_share(step: int, steps: int, final: float) -> float:
    """Share of the learning rate at a step: linear warm-up of 4%, cosine to `final`."""
    warmup = max(1, steps // 25)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return final + (1 - final) * (0.5 + 0.5 * math.cos(math.pi * done))


def _order(rows: Sequence[Encoded], plan: Plan) -> list[list[int]]:
    """Batches of as many passes as the plan needs."""
    order: list[list[int]] = []
    epoch = 0
    while len(order) < plan.steps:
        order += batches_of(rows, random.Random(plan.seed + epoch))
        epoch += 1
    return order


@dataclass
class _Progress:
    """Means since the last note."""

    log: Callable[[str], None]
    began: float = field(default_factory=time.monotonic)
    tokens: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, found: Losses, refuse: torch.Tensor, tokens: int) -> None:
        """Count one batch."""
        self.tokens += tokens
        right = ((found.refused > 0.5) == (refuse > 0.5)).float().mean()
        seen = {
            "reply": found.reply,
            "decision": found.decision,
            "meaning": found.meaning,
            "decided_right": right,
        }
        for name, value in seen.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.item() / NOTE_EVERY

    def note(self, step: int) -> None:
        """Write a line and begin anew."""
        rate = round(self.tokens / (time.monotonic() - self.began))
        means = {name: round(value, 4) for name, value in self.sums.items()}
        self.log(json.dumps({"step": step, **means, "tokens_per_second": rate}))
        self.sums = {}


def _resume(
    learner: Learner, optimizer: torch.optim.Optimizer, checkpoint: Path
) -> list[float]:
    if not checkpoint.exists():
        return []
    state = torch.load(checkpoint, weights_only=True)
    learner.load_state_dict(state["learner"])
    optimizer.load_state_dict(state["optimizer"])
    losses: list[float] = state["losses"]
    return losses


def _save(
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    losses: list[float],
    checkpoint: Path,
) -> None:
    state = {
        "learner": learner.state_dict(),
        "optimizer": optimizer.state_dict(),
        "losses": losses,
    }
    partial = checkpoint.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(checkpoint)
