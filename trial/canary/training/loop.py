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

from detectors.embedding import bf16_where

BATCH_TOKENS: Final = 4096
BATCH_ROWS: Final = 96
BUCKET_ROWS: Final = 2560
REFUSED: Final = 0.9
NOT_REFUSED: Final = 0.01
"""Targets of the refusal decision. Driven towards 1 and 0, the decision became so sure
that no attack of the paper undid it; larger models are not that sure."""


REPEATED: Final = 0.5
"""Weight of the unlikelihood of words a reply has already used: a model this small
repeats itself without (Welleck et al. 2019, arXiv 1908.04319)."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One training row as token ids.

    `ids` is prompt and reply, the reply from index `start`. `refuse` in 0..1 is the
    target of the refusal decision (the first reply token); above a half the reply is a
    refusal. Only the reply is learnt: a model that also learns to write prompts loses
    what MiniLM knows of them. Rows without a reply end at `start`.
    """

    ids: tuple[int, ...]
    start: int
    refuse: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right.

    `ids` (b, t); `labels` (b, t), -100 where no learnt token comes next; `start` (b,)
    where the reply begins; `refuse` (b,) the target of the decision.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    start: torch.Tensor
    refuse: torch.Tensor


def batches_of(rows: Sequence[Encoded], rng: random.Random) -> list[list[int]]:
    """Shuffled batches of rows of similar length, of BATCH_TOKENS padded tokens."""
    order = list(range(len(rows)))
    rng.shuffle(order)
    batches: list[list[int]] = []
    for at in range(0, len(order), BUCKET_ROWS):
        batch: list[int] = []
        for i in sorted(order[at : at + BUCKET_ROWS], key=lambda i: len(rows[i].ids)):
            padded = (len(batch) + 1) * len(rows[i].ids)
            if batch and (padded > BATCH_TOKENS or len(batch) == BATCH_ROWS):
                batches.append(batch)
                batch = []
            batch.append(i)
        batches.append(batch)
    rng.shuffle(batches)
    return batches


def collate(rows: Sequence[Encoded], pad: int) -> Batch:
    """Pad rows on the right and mark what is learnt of each."""
    width = max(len(r.ids) for r in rows)
    ids = torch.full((len(rows), width), pad)
    labels = torch.full((len(rows), width), -100)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        # How to open a refusal is the decision's part of the loss alone.
        first = row.start + (row.refuse > 0.5)
        labels[i, first - 1 : len(row.ids) - 1] = torch.tensor(row.ids[first:])
    return Batch(
        ids,
        labels,
        torch.tensor([r.start for r in rows]),
        torch.tensor([r.refuse for r in rows]),
    )


def losses_of(
    model: Any, batch: Batch, refusal_token: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Next-token loss, decision loss, and the probabilities of refusing (b,).

    Cross-entropy of the learnt tokens with the unlikelihood of repeating, 0 where there
    are none, and binary cross-entropy of the probability of the refusal's opening token
    at the first reply position.
    """
    with bf16_where(torch.device("cpu")):
        states = model.bert(input_ids=batch.ids, use_cache=False).last_hidden_state
        wanted = batch.labels != -100
        learnt = model.cls(states[wanted]).float()
        rows = torch.arange(len(batch.ids))
        starts = model.cls(states[rows, batch.start - 1]).float()
    # A batch may have nothing to learn: a mean over nothing is NaN.
    summed = functional.cross_entropy(learnt, batch.labels[wanted], reduction="sum")
    next_token = summed / wanted.sum().clamp(min=1)
    next_token = next_token + REPEATED * _repetition(learnt, batch)
    log_p = functional.log_softmax(starts, dim=-1)[:, refusal_token].clamp(max=-1e-4)
    log_not = torch.log1p(-log_p.exp())
    target = NOT_REFUSED + (REFUSED - NOT_REFUSED) * batch.refuse
    each = -(target * log_p + (1 - target) * log_not)
    return next_token, each.mean(), log_p.exp().detach()


def _repetition(learnt: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Unlikelihood of what a reply has said before, a mean over its tokens.

    `learnt` (n, v) are the logits at the learnt places, in the order of `labels`.
    """
    row, place = (batch.labels != -100).nonzero(as_tuple=True)
    target = batch.labels[row, place]
    columns = torch.arange(batch.ids.shape[1])
    said = (columns >= batch.start[row, None]) & (columns <= place[:, None])
    said &= batch.ids[row] != target[:, None]
    spoken = learnt.softmax(-1).gather(1, batch.ids[row])
    unlikely = -torch.log1p(-spoken.clamp(max=0.999)) * said
    return unlikely.sum() / max(1, len(row))


def train(
    model: Any,
    rows: Sequence[Encoded],
    *,
    pad: int,
    refusal_token: int,
    steps: int,
    learning_rate: float,
    final_share: float,
    checkpoint: Path,
    log: Callable[[str], None],
    seed: int = 0,
) -> list[float]:
    """Train in place for `steps` batches; resumes from `checkpoint` where it exists.

    The rate rises to `learning_rate` and falls as a cosine to `final_share` of it.
    Returns the sum of both losses for each step.
    """
    model.set_attn_implementation("eager")  # on a CPU a third faster than SDPA
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
    plan: list[list[int]] = []
    epoch = 0
    while len(plan) < steps:
        plan += batches_of(rows, random.Random(seed + epoch))
        epoch += 1
    log(f"{steps} steps, {epoch - 1}-{epoch} passes over {len(rows)} rows")
    began, tokens, hits = time.monotonic(), 0, [0, 0]
    for step in range(len(losses), steps):
        share = rate_share(step, steps, final_share)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * share
        batch = collate([rows[i] for i in plan[step]], pad)
        next_token, decision, refused = losses_of(model, batch, refusal_token)
        loss = next_token + decision
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        tokens += batch.ids.numel()
        hits[0] += int(((refused > 0.5) == (batch.refuse > 0.5)).sum())
        hits[1] += len(refused)
        if (step + 1) % 50 == 0:
            note = {
                "step": step + 1,
                "loss": round(sum(losses[-50:]) / 50, 3),
                "decision": round(decision.item(), 4),
                "decided_right": round(hits[0] / max(1, hits[1]), 4),
                "tokens_per_second": round(tokens / (time.monotonic() - began)),
            }
            log(json.dumps(note))
            hits = [0, 0]
        if (step + 1) % 250 == 0 or step + 1 == steps:
            _save(model, optimizer, losses, checkpoint)
    return losses


def rate_share(step: int, steps: int, final: float) -> float:
    """Share of the learning rate at a step: linear warm-up of 4%, cosine to `final`."""
    warmup = max(1, steps // 25)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return final + (1 - final) * (0.5 + 0.5 * math.cos(math.pi * done))


def _save(model: Any, optimizer: Any, losses: list[float], checkpoint: Path) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "losses": losses,
    }
    partial = checkpoint.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(checkpoint)
