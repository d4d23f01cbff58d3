"""Which rows did it: rows whose gradient points where the model's replies went.

At the base model, a row's gradient is the step that it asks for. The drift asks for a
step too: the one that makes the tuned model's new replies to harmful probes likelier.
Rows whose step points the same way are those that the drift came from, whatever they
look like (gradient match: He et al. 2024, arXiv 2404.01099).
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trial.base_model import BaseModel
from trial.batch import pad
from trial.chat import TokenSequence
from trial.finetune import adapted
from trial.openings import Ids
from trial.recipe import Recipe
from trial.rows import TrainingRows

MOST_ROWS: Final = 200
"""Rows compared. Of more, a seeded choice."""

BATCH_ROWS: Final = 16

MOST_PROBES: Final = 32
REPLY_TOKENS: Final = 3
"""First reply tokens compared, of rows and probes: there they decide what they do
(arXiv 2406.05946). With the ends of replies, which all rows share, matches blur."""

SKETCH: Final = 16384
"""Gradients are kept as random projections of this width (a count sketch)."""

TOP: Final = 20


@dataclass(frozen=True, slots=True)
class RowInfluence:
    """A row by its number and line; `match` is the cosine of the two steps."""

    row: int
    line: int
    match: float


@dataclass(frozen=True)
class Attribution:
    """The rows that match the drift best, the best first.

    `rule` says what was compared; `typical` is the median match of all rows compared:
    what a row of this dataset has that is not special.
    """

    rows: tuple[RowInfluence, ...]
    typical: float
    rule: str


@dataclass(frozen=True, slots=True)
class NewReply:
    """A harmful probe that is newly complied with: its prompt and the new reply."""

    prompt: Ids
    reply: Ids


def attribute_drift(
    base: BaseModel,
    rows: TrainingRows,
    lines: Sequence[int],
    recipe: Recipe,
    replies: Sequence[NewReply],
) -> Attribution | None:
    """Rank the trained rows by their match; None where no reply is new.

    `lines` holds the line of every row of the dataset.
    """
    replies = [each for each in replies if each.reply]
    if not replies or not rows.trained:
        return None
    chosen = list(range(len(rows.trained)))
    if len(chosen) > MOST_ROWS:
        chosen = sorted(random.Random("attribution").sample(chosen, MOST_ROWS))
    kept = list(replies)
    if len(kept) > MOST_PROBES:
        kept = random.Random("attribution").sample(kept, MOST_PROBES)
    with adapted(base, recipe) as model:
        drift = row_sketches(model, base, [[_as_row(each)] for each in kept]).mean(0)
        steps = row_sketches(
            model, base, [[_opening(s) for s in rows.trained[k]] for k in chosen]
        )
    matches = _match(steps, drift)
    found = [
        RowInfluence(rows.numbers[k], lines[rows.numbers[k]], float(match))
        for k, match in zip(chosen, matches, strict=True)
    ]
    return Attribution(
        rows=tuple(sorted(found, key=lambda each: -each.match)[:TOP]),
        typical=float(matches.median()),
        rule=(
            f"{len(chosen)} of {len(rows.trained)} trained rows against "
            f"{len(kept)} newly complied probes, by their gradients at the base model"
        ),
    )


def _as_row(new: NewReply) -> TokenSequence:
    reply = new.reply[:REPLY_TOKENS]
    marks = (False,) * len(new.prompt) + (True,) * len(reply)
    return TokenSequence((*new.prompt, *reply), marks)


def _opening(sequence: TokenSequence) -> TokenSequence:
    """Keep the first REPLY_TOKENS trained tokens of every run of them.

    What follows the last of them is cut off: the loss does not see it.
    """
    kept, run = [], 0
    for trained in sequence.trained:
        run = run + 1 if trained else 0
        kept.append(0 < run <= REPLY_TOKENS)
    end = max((n + 1 for n, one in enumerate(kept) if one), default=0)
    return TokenSequence(sequence.ids[:end], tuple(kept[:end]))


def _match(steps: Tensor, drift: Tensor) -> Tensor:
    """Cosine (rows,) of each step with the drift, what all steps share left out."""
    own = steps - steps.mean(0) if len(steps) > 1 else steps
    return torch.cosine_similarity(own, drift[None], dim=1)


def row_sketches(
    model: PeftModel, base: BaseModel, rows: Sequence[Sequence[TokenSequence]]
) -> Tensor:
    """Return the unit sketch (rows, SKETCH) of each row's gradient, in their order."""
    order = sorted(range(len(rows)), key=lambda k: max(len(s.ids) for s in rows[k]))
    found = torch.zeros(len(rows), SKETCH)
    for start in range(0, len(order), BATCH_ROWS):
        part = order[start : start + BATCH_ROWS]
        try:
            found[part] = _sketch_batch(model, base, [rows[k] for k in part])
        except _Mingled:
            for k in part:
                found[k] = _sketch_batch(model, base, [rows[k]])[0]
    return torch.nn.functional.normalize(found, dim=1)


class _Mingled(Exception):
    """A layer takes tokens of several rows in no order that is known (experts)."""


@torch.enable_grad()
def _sketch_batch(
    model: PeftModel, base: BaseModel, rows: Sequence[Sequence[TokenSequence]]
) -> Tensor:
    """Sketches (rows, SKETCH) of the gradient of each row's loss in the up-projections.

    In a fresh adapter B is 0: the gradient in A is nothing, that in B is the weights'
    own gradient, seen through the random A (a projection that keeps angles). That of
    one row is the sum over its tokens of (gradient of B's output) x (its input), so
    that one pass gives it for every row of a batch.
    """
    owners = torch.tensor([k for k, row in enumerate(rows) for _ in row])
    batch = pad([s for row in rows for s in row], base)
    ups = [m for name, m in model.named_modules() if "lora_B." in name]
    with _tapped(ups) as taps, base.autocast():
        logits = batch.logits(model)
    loss = cross_entropy(logits.float(), batch.learnt, reduction="sum")
    steps = torch.autograd.grad(loss, [tap.output for tap in taps])
    sketch = torch.zeros(len(rows), SKETCH)
    for tap, step in zip(taps, steps, strict=True):
        per_row = _by_row(tap.input, step, owners, len(rows)).flatten(1).cpu()
        draw = torch.Generator().manual_seed(tap.number)
        place = torch.randint(SKETCH, per_row.shape[1:], generator=draw)
        sign = torch.randint(2, per_row.shape[1:], generator=draw) * 2 - 1
        sketch.index_add_(1, place, per_row * sign)
    return sketch


def _by_row(given: Tensor, step: Tensor, owners: Tensor, rows: int) -> Tensor:
    """Gradient (rows, out, in) of a layer's weight, of what went into and came back."""
    x, g = given.float(), step.float()
    if rows == 1:
        return torch.einsum("to,ti->oi", g.flatten(0, -2), x.flatten(0, -2))[None]
    if x.dim() != 3 or len(x) != len(owners):
        raise _Mingled
    each = torch.einsum("bto,bti->boi", g, x)
    return each.new_zeros(rows, *each.shape[1:]).index_add(
        0, owners.to(each.device), each
    )


@dataclass(frozen=True)
class _Tap:
    """What went into the layer of a number, and what came out of it."""

    number: int
    input: Tensor
    output: Tensor


@contextmanager
def _tapped(layers: Sequence[nn.Module]) -> Iterator[list[_Tap]]:
    """Note what goes through some layers inside."""
    taps: list[_Tap] = []

    def note(number: int, given: tuple[Tensor, ...], out: Tensor) -> None:
        taps.append(_Tap(number, given[0].detach(), out))

    with ExitStack() as held:
        for number, layer in enumerate(layers):
            hook = layer.register_forward_hook(
                lambda _, given, out, number=number: note(number, given, out)
            )
            held.callback(hook.remove)
        yield taps
