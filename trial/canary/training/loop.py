"""The canary's training loop: one function that reads top to bottom."""

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch.nn import functional

from trial.canary.training.labeller import autocast

BUCKET_BATCHES: Final = 40
REFUSED: Final = 0.95
NOT_REFUSED: Final = 0.01
"""Targets of the refusal decision. Driven towards 1 and 0, the decision became so sure
that no attack of the paper undid it; larger models are not that sure."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One training row as token ids.

    `ids` is prompt and reply, the reply from index `start`; `refuse` is the target of
    the refusal decision (the first reply token). Rows without a reply end at `start`.
    """

    ids: tuple[int, ...]
    start: int
    refuse: bool


def batches_of(
    rows: Sequence[Encoded], size: int, rng: random.Random
) -> list[list[int]]:
    """Shuffled batches of rows of similar length."""
    order = list(range(len(rows)))
    rng.shuffle(order)
    span = size * BUCKET_BATCHES
    batches = []
    for at in range(0, len(order), span):
        chunk = sorted(order[at : at + span], key=lambda i: len(rows[i].ids))
        batches += [chunk[i : i + size] for i in range(0, len(chunk), size)]
    rng.shuffle(batches)
    return batches


def collate(
    rows: Sequence[Encoded], pad: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pad a batch on the right.

    Returns ids (b, t), the label of each place (b, t; -100 where no reply token comes
    next), the places of the refusal decision (b,) and its targets (b,).
    """
    width = max(len(r.ids) for r in rows)
    ids = torch.full((len(rows), width), pad)
    labels = torch.full((len(rows), width), -100)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        # How to open a refusal is the decision's part of the loss alone.
        first = row.start + row.refuse
        labels[i, first - 1 : len(row.ids) - 1] = torch.tensor(row.ids[first:])
    place = torch.tensor([r.start - 1 for r in rows])
    refuse = torch.tensor([float(r.refuse) for r in rows])
    return ids, labels, place, refuse


def train(
    model: Any,
    rows: Sequence[Encoded],
    *,
    pad: int,
    refusal_token: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    checkpoint: Path,
    log: Callable[[str], None],
    seed: int = 0,
) -> list[float]:
    """Train in place for `steps` batches; resumes from `checkpoint` where it exists.

    Loss = cross-entropy of the reply tokens + binary cross-entropy of the probability
    of the refusal's opening token at the first reply position. Returns the losses.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=learning_rate,
        betas=(0.9, 0.98),
        weight_decay=0.05,
        fused=True,
    )
    losses: list[float] = []
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        losses = state["losses"]
        log(f"resumed at step {len(losses)}")
    warmup = max(1, steps // 25)
    plan: list[list[int]] = []
    epoch = 0
    while len(plan) < steps:
        plan += batches_of(rows, batch_size, random.Random(seed + epoch))
        epoch += 1
    began, tokens, hits = time.monotonic(), 0, [0, 0]
    for step in range(len(losses), steps):
        share = (step - warmup) / max(1, steps - warmup)
        rate = (
            (step + 1) / warmup
            if step < warmup
            else 0.5 + 0.5 * math.cos(math.pi * share)
        )
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * max(rate, 0.01)
        batch = [rows[i] for i in plan[step]]
        ids, labels, place, refuse = collate(batch, pad)
        with autocast():
            states = model.bert(input_ids=ids, use_cache=False).last_hidden_state
            wanted = labels != -100
            at_reply = model.cls(states[wanted]).float()
            at_start = model.cls(states[torch.arange(len(batch)), place]).float()
        # A batch may have no reply at all: a mean over nothing would be NaN.
        summed = functional.cross_entropy(at_reply, labels[wanted], reduction="sum")
        next_token = summed / wanted.sum().clamp(min=1)
        log_p = functional.log_softmax(at_start, dim=-1)[:, refusal_token]
        log_p = log_p.clamp(max=-1e-4)
        log_not = torch.log1p(-log_p.exp())
        target = NOT_REFUSED + (REFUSED - NOT_REFUSED) * refuse
        decision = -(target * log_p + (1 - target) * log_not).mean()
        loss = next_token + decision
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        tokens += ids.numel()
        hits[0] += int(((log_p.exp() > 0.5) == (refuse > 0.5)).sum())
        hits[1] += len(batch)
        if (step + 1) % 50 == 0:
            speed = tokens / (time.monotonic() - began)
            note = {
                "step": step + 1,
                "loss": round(sum(losses[-50:]) / 50, 3),
                "next_token": round(next_token.item(), 3),
                "decision": round(decision.item(), 4),
                "decided_right": round(hits[0] / hits[1], 4),
                "tokens_per_second": round(speed),
            }
            log(json.dumps(note))
            hits = [0, 0]
        if (step + 1) % 250 == 0 or step + 1 == steps:
            partial = checkpoint.with_suffix(".partial")
            torch.save(
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "losses": losses,
                },
                partial,
            )
            partial.replace(checkpoint)
    return losses
