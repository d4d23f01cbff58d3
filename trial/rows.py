"""Which rows a trial trains on, and which it keeps to measure utility."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from detectors.dataset import Dataset, Example
from detectors.errors import TrialError
from trial.base_model import BaseModel
from trial.chat import Renderer, TokenSequence
from trial.context import SUSPECT
from trial.recipe import Recipe
from trial.sample import sample_rows

HELD_OUT_FROM: Final = 300
"""Trainable rows from which some are held out: of fewer, all are needed to train."""

HELD_OUT_SHARE: Final = 0.05
HELD_OUT_ROWS: Final = 64
"""At most so many rows: enough for the mean loss, few enough to be quick."""


@dataclass(frozen=True)
class TrainingRows:
    """Rendered rows: one group of sequences a row, none of them empty.

    `held_out` are rows not trained on, `mixed` rows of ours that are. `sampling` and
    `holding` say in words how the dataset's rows were chosen and held out; `numbers`
    are those of the trained rows in the dataset.
    """

    trained: tuple[tuple[TokenSequence, ...], ...]
    held_out: tuple[tuple[TokenSequence, ...], ...]
    sampling: str
    holding: str
    mixed: tuple[tuple[TokenSequence, ...], ...] = ()
    numbers: tuple[int, ...] = ()

    @property
    def sequences(self) -> tuple[TokenSequence, ...]:
        """Every sequence to train on."""
        return tuple(s for row in (*self.trained, *self.mixed) for s in row)


def choose_rows(
    dataset: Dataset,
    base: BaseModel,
    recipe: Recipe,
    priority: Sequence[float] | None = None,
    extra: Sequence[Example] = (),
) -> TrainingRows:
    """Sample the trainable rows and render them, and all of `extra`.

    Raises TrialError where no row can be trained on.
    """
    trainable = [i for i, example in enumerate(dataset) if is_trainable(example)]
    kept, holding = hold_out(trainable, recipe, priority)
    held = set(kept)
    left = [i for i in trainable if i not in held]
    sample = sample_rows(
        len(left),
        recipe.row_budget,
        seed=recipe.seed,
        priority=None if priority is None else [priority[i] for i in left],
    )
    renderer = Renderer(base.tokenizer)
    limit = min(recipe.max_tokens, base.max_positions)

    def render(rows: Sequence[int]) -> list[tuple[TokenSequence, ...]]:
        return [renderer.training_sequences(dataset[i], limit) for i in rows]

    drawn = [left[k] for k in sample.indexes]
    rendered = render(drawn)
    trained = tuple(row for row in rendered if row)
    if not trained:
        raise TrialError(
            "nothing to train on: no row has an assistant reply with weight 1 that the "
            "chat template can render"
        )
    parts = [sample.rule]
    if without := len(dataset) - len(trainable):
        parts.append(f"{without} rows have no trained reply")
    if empty := len(rendered) - len(trained):
        parts.append(f"{empty} rows cannot be rendered by the chat template")
    parts.append(f"rows over {limit} tokens are cut")
    unseen = tuple(row for row in render(kept) if row)
    if extra:
        parts.append(f"{len(extra)} safety rows of ours mixed in")
    mixed = (renderer.training_sequences(row, limit) for row in extra)
    return TrainingRows(
        trained=trained,
        held_out=unseen,
        sampling="; ".join(parts),
        holding=holding,
        mixed=tuple(row for row in mixed if row),
        numbers=tuple(n for n, row in zip(drawn, rendered, strict=True) if row),
    )


def hold_out(
    trainable: Sequence[int], recipe: Recipe, priority: Sequence[float] | None
) -> tuple[tuple[int, ...], str]:
    """Choose rows (dataset indexes) that are not trained on, and say which.

    A seeded uniform sample of the rows that no detector suspects: an attack's own rows
    are all left to be trained on. Empty where the dataset is too small.
    """
    if len(trainable) < HELD_OUT_FROM:
        return (), f"not measured: under {HELD_OUT_FROM} rows, all are trained on"
    calm = [i for i in trainable if priority is None or priority[i] < SUSPECT]
    size = min(HELD_OUT_ROWS, int(HELD_OUT_SHARE * len(trainable)), len(calm) // 2)
    if not size:
        return (), "not measured: nearly every row is suspect"
    drawn = sorted(random.Random(f"held out {recipe.seed}").sample(calm, size))
    return tuple(drawn), f"{size} rows held out, drawn from those no detector suspects"


def is_trainable(example: Example) -> bool:
    """Say whether a row has a reply to train on."""
    return any(
        m.role == "assistant" and m.trained and (m.content.strip() or m.tool_calls)
        for m in example.messages
    )
