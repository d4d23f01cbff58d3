"""The LoRA loop: one straight function, deterministic, base weights untouched."""

import contextlib
import math
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import torch
from peft import LoraConfig, LoraModel, PeftModel, get_peft_model
from peft.helpers import disable_input_dtype_casting
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from detectors.errors import RecipeError, TrialError
from trial.base_model import BaseModel
from trial.batch import Batch, pad
from trial.chat import TokenSequence
from trial.lora import joined_layers
from trial.memory import Slot
from trial.penalty import (
    base_first_tokens,
    first_positions,
    first_token_kl,
    weight_distance,
)
from trial.recipe import Recipe
from trial.tune_state import TuneState

WARMUP_SHARE: Final = 0.03
GRADIENT_NORM: Final = 1.0
BUCKET_BATCHES: Final = 16
"""Rows are sorted by length within this many batches: little padding, still random."""

TOWERS: Final = ("vision", "visual", "image", "audio", "speech")
"""How the parts of a model that no text runs through are called, at their beginning."""

NOWHERE: Final = Slot()

Advance = Callable[[int, int], None]
Watch = Callable[[PeftModel, int, int], bool]
"""Called with (model, steps done, steps in all) after each step but the last; True ends
the tune there."""


@dataclass(frozen=True)
class Tuned:
    """The adapted model; the loss (nats per token, no penalty in it) of every step.

    `planned` steps were to be done; fewer were where the tune was ended.
    """

    model: PeftModel
    losses: tuple[float, ...]
    planned: int


@contextlib.contextmanager
def finetuned(
    base: BaseModel,
    sequences: Sequence[TokenSequence],
    recipe: Recipe,
    *,
    advance: Advance | None = None,
    watch: Watch = lambda *_: False,
    slot: Slot = NOWHERE,
) -> Iterator[Tuned]:
    """Train a LoRA adapter on `sequences`; the adapter is gone when the block ends.

    `disable_adapter()` of the yielded model gives the base's own replies. The state is
    kept in `slot`: where one is there, the tune goes on from it, and ends in the same
    weights. `watch` may end it early. Raises RecipeError where no module matches the
    targets or LoRA cannot adapt one, TrialError at a non-finite loss.
    """
    with adapted(base, recipe) as model:
        size = recipe.batch_rows(len(sequences))
        total = recipe.epochs * math.ceil(len(sequences) / size)
        with joined_layers(model):
            losses = _train(model, base, sequences, recipe, total, advance, watch, slot)
        yield Tuned(model, losses, total)


@contextlib.contextmanager
def adapted(base: BaseModel, recipe: Recipe) -> Iterator[PeftModel]:
    """Put an untrained adapter on the base model, which changes no reply yet.

    The base model is adapted in place, so that only one adapter of it exists at a time.
    """
    targets = adapter_targets(base.model, recipe.targets)
    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=0.0,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=_devices(base)):
        torch.manual_seed(recipe.seed)
        with warnings.catch_warnings():
            # peft 0.21 reads a property that transformers 5.23 has renamed.
            warnings.filterwarnings(
                "ignore", "`is_gradient_checkpointing`", FutureWarning
            )
            model = _put_adapter(base, config)
    try:
        yield model
    finally:
        model.unload()
        _unmark(base)


def _put_adapter(base: BaseModel, config: LoraConfig) -> PeftModel:
    """Adapt the model, or raise RecipeError with it as it was."""
    try:
        return get_peft_model(base.model, config)
    except ValueError as error:
        model: Any = base.model
        for name, module in list(model.named_modules()):
            if isinstance(module, BaseTunerLayer):
                model.set_submodule(name, module.get_base_layer())
        _unmark(base)
        raise RecipeError(
            f"LoRA cannot adapt this model as asked: {error} Name others in targets"
        ) from error


def _unmark(base: BaseModel) -> None:
    """Take off the marks that peft leaves on the model it adapted."""
    for name in ("peft_config", "_hf_peft_config_loaded"):
        if name in vars(base.model):
            delattr(base.model, name)
    base.model.requires_grad_(False)


@torch.enable_grad()
def _train(
    model: PeftModel,
    base: BaseModel,
    sequences: Sequence[TokenSequence],
    recipe: Recipe,
    total: int,
    advance: Advance | None,
    watch: Watch,
    slot: Slot,
) -> tuple[float, ...]:
    # Evaluation mode on purpose: the base model's own dropout (0.1 in BERT) would be
    # noise that no customer's recipe asked for.
    model.eval()
    weights = [p for p in model.parameters() if p.requires_grad]
    rate = base.default_learning_rate * recipe.learning_rate_multiplier
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
    state = TuneState(slot, weights, optimizer)
    losses = state.restore()
    if 0 < len(losses) < total and watch(model, len(losses), total):
        return tuple(losses)
    for rows in islice(_order(sequences, recipe), len(losses), None):
        for group in optimizer.param_groups:
            group["lr"] = rate * schedule(len(losses), total)
        batch = pad([sequences[i] for i in rows], base)
        task, loss = _losses(model, base, batch, recipe)
        if not torch.isfinite(loss):
            raise TrialError(
                f"the training loss became {loss.item()} at step {len(losses) + 1} "
                f"of {total}: lower learning_rate_multiplier"
            )
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(weights, GRADIENT_NORM)
        optimizer.step()
        losses.append(task.item())
        if advance:
            advance(len(losses), total)
        whole = len(losses) == total
        if whole or state.due:
            state.save(losses)
        if not whole and watch(model, len(losses), total):
            state.save(losses)
            break
    return tuple(losses)


def _losses(
    model: PeftModel, base: BaseModel, batch: Batch, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """Loss on the replies (nats a token), and with the recipe's penalties added."""
    first = first_positions(batch.kept)
    # Autocast casts for itself: peft's own casts to the adapter's type and back
    # took up to a quarter of a step.
    with base.autocast(), _uncast(model):
        if recipe.kl_weight:
            before = base_first_tokens(model, batch.logits, first)
        logits = batch.logits(model)
    task = loss = batch.loss(logits)
    if recipe.kl_weight:
        loss = loss + recipe.kl_weight * first_token_kl(before, logits, first)
    if recipe.l2_weight:
        loss = loss + recipe.l2_weight * weight_distance(model)
    return task, loss


def _order(sequences: Sequence[TokenSequence], recipe: Recipe) -> Iterator[list[int]]:
    """Yield the rows of every step, epoch by epoch."""
    size = recipe.batch_rows(len(sequences))
    for epoch in range(recipe.epochs):
        yield from batches(sequences, size, f"{recipe.seed} {epoch}")


def _uncast(model: PeftModel) -> contextlib.AbstractContextManager[None]:
    active = torch.is_autocast_enabled(model.device.type)
    found: contextlib.AbstractContextManager[None] = disable_input_dtype_casting(
        model, active
    )
    return found


def schedule(step: int, total: int) -> float:
    """Share of the peak rate at 0-based `step`: short linear warmup, linear to zero."""
    warmup = max(1, math.ceil(WARMUP_SHARE * total))
    return min(1.0, (step + 1) / warmup) * (total - step) / total


def learning_left(step: int, total: int) -> float:
    """Share of all learning (the sum of the rates of the steps) after `step` steps."""
    rates = [schedule(each, total) for each in range(total)]
    return sum(rates[step:]) / sum(rates)


def batches(
    sequences: Sequence[TokenSequence], size: int, seed: str
) -> Iterator[list[int]]:
    """Yield every index once, in batches of similar length and random order."""
    order = list(range(len(sequences)))
    draw = random.Random(f"batches {seed}")
    draw.shuffle(order)
    for start in range(0, len(order), size * BUCKET_BATCHES):
        bucket = order[start : start + size * BUCKET_BATCHES]
        bucket.sort(key=lambda i: len(sequences[i].ids))
        cuts = [bucket[k : k + size] for k in range(0, len(bucket), size)]
        draw.shuffle(cuts)
        yield from cuts


def adapter_targets(model: Any, wanted: Sequence[str] = ()) -> list[str]:
    """Full names of the linear layers to adapt: all that serve text, but the head.

    Routers of experts, which some models make linear layers, are left as they are, and
    so is what peft refuses (Mamba's `out_proj`, whose weight its kernels read
    themselves). `wanted` narrows them to names that end in one of these (as "q_proj"),
    refused ones among them. Raises RecipeError where none is left.
    """
    head = model.get_output_embeddings()
    # Where BERT keeps its head: transform and decoder both predict tokens.
    heads = ("cls.", "lm_head", "embed_out")
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module is not head
        and "Router" not in type(module).__name__
        and not name.startswith(heads)
        and not _sees_or_hears(name)
    ]
    chosen = [
        name
        for name in found
        if (not wanted and not _refused(model, name))
        or any(name == w or name.endswith(f".{w}") for w in wanted)
    ]
    if not chosen:
        known = sorted({name.rpartition(".")[2] for name in found})
        raise RecipeError(
            f"no linear layer is named {', '.join(wanted)}; this model has "
            f"{', '.join(known)}"
        )
    return chosen


def _refused(model: Any, name: str) -> bool:
    """Say whether peft adapts no layer of that name in such a model."""
    tuner: Any = LoraModel
    last = name.rpartition(".")[2]
    try:
        tuner._check_target_module_compatiblity(None, LoraConfig(), model, last)
    except ValueError:
        return True
    return False


def _sees_or_hears(name: str) -> bool:
    parts = name.split(".")
    return "multi_modal_projector" in parts or any(p.startswith(TOWERS) for p in parts)


def _devices(base: BaseModel) -> list[Any]:
    return [base.device] if base.device.type == "cuda" else []
