"""Trains an adapter of the cross-encoder: LoRA on MiniLM over pairs of texts."""

import json
import math
import os
import random
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional

from detectors.cross_encoder import (
    OUTPUTS,
    TARGETS,
    encode_pair,
    load_minilm,
    mean_pool,
    pad_pairs,
)
from detectors.embedding import bf16_where
from detectors.training.batching import shuffled_batches
from detectors.training.rows import HarmRow

RANK: Final = 16
ALPHA: Final = 32
LEARNING_RATE: Final = 6e-4
BATCH_TOKENS: Final = 8192
SMOOTHING: Final = 0.01
WORTH_COMPILING: Final = 300
"""Steps from which on a compiled model is worth the time to compile it."""
TASK_WEIGHTS: Final = (1.0, 0.5, 0.5)
SOURCE_WEIGHTS: Final = {"resp_pku_saferlhf_pairs": 0.7, "contrast": 2.0, "lay": 2.0}
MADE_WEIGHTS: Final = {"composed": 0.5, "buried": 0.7}
MIXED: Final = ("resp_gptfuzz_labeled", "resp_pku_saferlhf_pairs")


@dataclass(frozen=True, slots=True)
class PairRow:
    """A tokenised pair; `targets` and `weights` one an output."""

    ids: list[int]
    segments: list[int]
    targets: tuple[float, ...]
    weights: tuple[float, ...]


def exchange_row(row: HarmRow, tokenizer: Any) -> PairRow:
    """Tokenise a row and say what is known of it; unknown targets weigh 0."""
    ids, segments = encode_pair(tokenizer, row.request, row.reply)
    source, _, made = row.source.partition("+")
    weight = MADE_WEIGHTS.get(made, SOURCE_WEIGHTS.get(source, 1.0))
    told = bool(row.reply) and not (source in MIXED and not row.harmful)
    steered = source == "resp_refusal_direction_runs"
    known = (bool(row.reply), row.asks_harm is not None, told and not steered)
    targets = (row.harmful, row.asks_harm is True, row.kind in ("comply", "benign"))
    return PairRow(
        ids,
        segments,
        tuple(float(t) for t in targets),
        tuple(w * k * weight for w, k in zip(TASK_WEIGHTS, known, strict=True)),
    )


def plan_batches(rows: Sequence[PairRow], rng: random.Random) -> list[list[int]]:
    """Shuffled batches of pairs of similar length, BATCH_TOKENS padded tokens each."""
    lengths = [len(row.ids) for row in rows]
    return shuffled_batches(
        lengths, rng, tokens=BATCH_TOKENS, among=4096, rows=len(rows)
    )


def _no_dropout(model: torch.nn.Module) -> None:
    """Switch dropout off: drawing it costs a CPU a quarter of a step."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


class Trainee(torch.nn.Module):
    """MiniLM with LoRA factors and a linear output (d -> k) over its pooled states."""

    def __init__(self, seed: int, outputs: int = len(OUTPUTS)) -> None:
        super().__init__()
        torch.manual_seed(seed)
        model, self.tokenizer = load_minilm()
        model.set_attn_implementation("eager")  # on a CPU faster than SDPA's backward
        _no_dropout(model)
        config = LoraConfig(
            r=RANK, lora_alpha=ALPHA, target_modules=list(TARGETS), bias="none"
        )
        with warnings.catch_warnings():
            # peft 0.21 reads a property that transformers 5.23 has renamed.
            warnings.filterwarnings(
                "ignore", "`is_gradient_checkpointing`", FutureWarning
            )
            self.encoder: Any = get_peft_model(model, config)
        self.output = torch.nn.Linear(model.config.hidden_size, outputs)

    def forward(
        self, features: dict[str, torch.Tensor], encoder: Any = None
    ) -> torch.Tensor:
        """Logits (b, k); `encoder` stands in for its own, compiled."""
        run = self.encoder if encoder is None else encoder
        with bf16_where(self.output.weight.device):
            states = run(**features).last_hidden_state
        pooled = mean_pool(states.float(), features["attention_mask"])
        logits: torch.Tensor = self.output(pooled)
        return logits

    def tensors(self) -> dict[str, torch.Tensor]:
        """Factors by the name of their layer (bf16) and the output layer."""
        found = {
            "output.weight": self.output.weight.detach(),
            "output.bias": self.output.bias.detach(),
        }
        for name, value in self.encoder.named_parameters():
            if "lora_" in name:
                layer = name.removeprefix("base_model.model.").split(".lora_")[0]
                factor = "A" if "lora_A" in name else "B"
                found[f"{layer}.{factor}"] = value.detach().to(torch.bfloat16)
        return {k: v.contiguous() for k, v in found.items()}


def _compiled(model: torch.nn.Module) -> Any:
    """Compile for batches of any shape, where there is a compiler of C++.

    It takes a minute or two and then halves a step on a CPU: most of it is small
    operations between the matrix products.
    """
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        return model
    return torch.compile(model, dynamic=True)


def train_adapter(
    data: Sequence[PairRow],
    trainee: Trainee,
    *,
    epochs: float,
    rate: float = LEARNING_RATE,
    checkpoint: Path | None = None,
    seed: int = 0,
    log: Callable[[str], None],
) -> Trainee:
    """Train on all rows; `trainee` is changed in place and returned.

    With `checkpoint` it resumes where it was cut off.
    """
    trainee.train()
    plan: list[list[int]] = []
    for epoch in range(math.ceil(epochs)):
        plan += plan_batches(data, random.Random(seed + epoch))
    plan = plan[: int(len(plan) * epochs / math.ceil(epochs))]
    wanted = [p for p in trainee.parameters() if p.requires_grad]
    encoder = _compiled(trainee.encoder) if len(plan) >= WORTH_COMPILING else None
    optimizer = torch.optim.AdamW(wanted, lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=rate, total_steps=len(plan) + 1, pct_start=0.06
    )
    first = _resume(checkpoint, trainee, optimizer, schedule)
    log(f"{len(data)} rows, {sum(len(r.ids) for r in data)} tokens, {len(plan)} steps")
    began, tokens, recent = time.monotonic(), 0, [0.0]
    for step in range(first, len(plan)):
        batch = [data[i] for i in plan[step]]
        features = pad_pairs([(r.ids, r.segments) for r in batch], 0)
        targets = torch.tensor([r.targets for r in batch])
        weights = torch.tensor([r.weights for r in batch])
        loss = functional.binary_cross_entropy_with_logits(
            trainee(features, encoder),
            targets * (1 - 2 * SMOOTHING) + SMOOTHING,
            weights,
        )
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(wanted, 1.0)
        optimizer.step()
        schedule.step()
        tokens += features["input_ids"].numel()
        recent = [*recent[-49:], loss.item()]
        if (step + 1) % 50 == 0:
            speed = round(tokens / (time.monotonic() - began))
            mean = round(sum(recent) / len(recent), 4)
            log(json.dumps({"step": step + 1, "loss": mean, "tokens_s": speed}))
        if checkpoint and (step + 1) % 50 == 0:
            _keep(checkpoint, trainee, optimizer, schedule, step + 1)
    return trainee.eval()


def _keep(path: Path, trainee: Trainee, optimizer: Any, schedule: Any, n: int) -> None:
    trained = {k: v for k, v in trainee.named_parameters() if v.requires_grad}
    state = {
        "trained": trained,
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "step": n,
    }
    torch.save(state, path.with_suffix(".partial"))
    path.with_suffix(".partial").replace(path)


def _resume(path: Path | None, trainee: Trainee, optimizer: Any, schedule: Any) -> int:
    if path is None or not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    trainee.load_state_dict(state["trained"], strict=False)
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return int(state["step"])
