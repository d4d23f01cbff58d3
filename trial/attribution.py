"""Which rows did it: rows whose gradient points where the model's replies went.

At the base model, a row's gradient is the step that it asks for. The drift asks for a
step too: the one that makes the tuned model's new replies to harmful probes likelier.
Rows whose step points the same way are those that the drift came from, whatever they
look like (gradient match: He et al. 2024, arXiv 2404.01099).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from peft import PeftModel
from torch import Tensor

from trial.base_model import BaseModel
from trial.batch import pad
from trial.chat import TokenSequence
from trial.finetune import adapted
from trial.openings import Ids
from trial.recipe import Recipe
from trial.rows import TrainingRows

MOST_ROWS: Final = 200
"""Rows compared: a backward pass each. Of more, a seeded choice."""

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
        drift = _gradient(model, base, [_as_row(each) for each in kept])
        steps = [
            _gradient(model, base, [_opening(s) for s in rows.trained[k]])
            for k in chosen
        ]
    matches = _match(torch.stack(steps), drift)
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


@torch.enable_grad()
def _gradient(
    model: PeftModel, base: BaseModel, sequences: Sequence[TokenSequence]
) -> Tensor:
    """Return the gradient of the mean loss in the up-projections, as a unit sketch.

    In a fresh adapter B is 0: the gradient in A is nothing, that in B is the weights'
    own gradient, seen through the random A (a projection that keeps angles).
    """
    ups = [p for name, p in model.named_parameters() if "lora_B" in name]
    batch = pad(sequences, base)
    loss = batch.loss(batch.logits(model))
    flat = torch.cat([g.flatten().float() for g in torch.autograd.grad(loss, ups)])
    draw = torch.Generator(device="cpu").manual_seed(0)
    place = torch.randint(SKETCH, flat.shape, generator=draw).to(flat.device)
    sign = (torch.randint(2, flat.shape, generator=draw) * 2 - 1).to(flat.device)
    sketch = flat.new_zeros(SKETCH).index_add(0, place, flat * sign)
    unit: Tensor = sketch / sketch.norm().clamp(min=1e-12)
    return unit.cpu()
