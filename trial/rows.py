"""Which rows a trial trains on, and which it keeps to measure utility."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from detectors.dataset import Dataset, Example
from detectors.errors import TrialError
from trial.base_model import BaseModel
from trial.chat import (
    MAX_WINDOWS,
    MOST_WINDOWS,
    Rendered,
    Renderer,
    TokenSequence,
    reasons,
)
from trial.context import SUSPECT
from trial.coverage import Coverage
from trial.recipe import Recipe
from trial.sample import sample_rows

HELD_OUT_FROM: Final = 300
"""Trainable rows from which some are held out: of fewer, all are needed to train."""

HELD_OUT_SHARE: Final = 0.05
HELD_OUT_ROWS: Final = 64
"""At most so many rows: enough for the mean loss, few enough to be quick."""


class Held(NamedTuple):
    """Numbers of the rows that are not trained on, and in words why these."""

    rows: tuple[int, ...]
    rule: str

    def among(self, kept: Sequence[int]) -> "Held":
        """Return the same rows as numbered where only `kept` are left."""
        places = {number: place for place, number in enumerate(kept)}
        return Held(tuple(places[n] for n in self.rows if n in places), self.rule)


@dataclass(frozen=True)
class TrainingRows:
    """Rendered rows: one group of sequences a row, none of them empty.

    `held_out` are rows not trained on, `mixed` rows of ours that are. `sampling` and
    `holding` say in words how the dataset's rows were chosen and held out; `numbers`
    are those of the trained rows in the dataset, `coverage` how much of them is in.
    """

    trained: tuple[tuple[TokenSequence, ...], ...]
    held_out: tuple[tuple[TokenSequence, ...], ...]
    sampling: str
    holding: str
    coverage: Coverage
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
    held: Held | None = None,
) -> TrainingRows:
    """Sample the trainable rows and render them, and all of `extra`.

    `held` are the rows to hold out; None chooses them. Raises TrialError where no row
    can be trained on.
    """
    trainable = trainable_rows(dataset)
    kept, holding = held or hold_out(trainable, recipe, priority)
    left = sorted(set(trainable) - set(kept))
    sample = sample_rows(
        len(left),
        recipe.row_budget,
        seed=recipe.seed,
        priority=None if priority is None else [priority[i] for i in left],
    )
    renderer = Renderer(base.tokenizer)
    limit = min(recipe.max_tokens, base.max_positions)
    drawn = [left[k] for k in sample.indexes]
    rows = [dataset[i] for i in drawn]
    rendered = _render(renderer, rows, limit, recipe.row_budget)
    trained = tuple(row.sequences for row in rendered if row.sequences)
    if not trained:
        raise TrialError(
            "nothing to train on: no row has an assistant reply with weight 1 that the "
            "chat template can render"
        )
    coverage = _coverage(rendered)
    said = [sample.rule]
    if without := len(dataset) - len(trainable):
        said.append(f"{without} rows have no trained reply")
    said += [*coverage.words(limit), *_changes(rows, extra)]
    unseen = (renderer.training_sequences(dataset[i], limit) for i in kept)
    mixed = (renderer.training_sequences(row, limit) for row in extra)
    return TrainingRows(
        trained=trained,
        held_out=tuple(row for row in unseen if row),
        sampling="; ".join(said),
        holding=holding,
        coverage=coverage,
        mixed=tuple(row for row in mixed if row),
        numbers=tuple(
            n for n, row in zip(drawn, rendered, strict=True) if row.sequences
        ),
    )


def _render(
    renderer: Renderer, rows: Sequence[Example], max_tokens: int, budget: int
) -> list[Rendered]:
    """Render rows; those with many replies may take the windows that others leave.

    So no trial is longer than one of `budget` rows with MAX_WINDOWS each, but where a
    template rewrites earlier turns: there each reply is a sequence.
    """
    spare = MAX_WINDOWS * (budget - len(rows))
    rendered = []
    for row in rows:
        most = min(MOST_WINDOWS, MAX_WINDOWS + spare)
        rendered.append(renderer.render_row(row, max_tokens, most))
        spare += MAX_WINDOWS - len(rendered[-1].sequences)
    return rendered


def _changes(rows: Sequence[Example], extra: Sequence[Example]) -> list[str]:
    """Say in what the training differs from one on these rows as they are."""
    said = []
    if thinking := sum(any(map(reasons, row.messages)) for row in rows):
        said.append(f"{thinking} rows are trained on without their reasoning")
    if extra:
        said.append(f"{len(extra)} safety rows of ours mixed in")
    return said


def _coverage(rows: Sequence[Rendered]) -> Coverage:
    return Coverage(
        rows=len(rows),
        unrendered=sum(not row.sequences for row in rows),
        cut=sum(row.cut for row in rows),
        tokens=sum(row.tokens for row in rows),
        tokens_trained=sum(row.kept for row in rows),
        replies=sum(row.replies for row in rows),
        replies_missed=sum(row.missed for row in rows),
    )


def hold_out(
    trainable: Sequence[int], recipe: Recipe, priority: Sequence[float] | None
) -> Held:
    """Choose rows (dataset indexes) that are not trained on, and say which.

    A seeded uniform sample of the rows that no detector suspects: an attack's own rows
    are all left to be trained on. Empty where the dataset is too small.
    """
    if len(trainable) < HELD_OUT_FROM:
        return Held((), f"not measured: under {HELD_OUT_FROM} rows, all are trained on")
    calm = [i for i in trainable if priority is None or priority[i] < SUSPECT]
    size = min(HELD_OUT_ROWS, int(HELD_OUT_SHARE * len(trainable)), len(calm) // 2)
    if not size:
        return Held((), "not measured: nearly every row is suspect")
    drawn = sorted(random.Random(f"held out {recipe.seed}").sample(calm, size))
    said = f"{size} rows held out, drawn from those no detector suspects"
    return Held(tuple(drawn), said)


def trainable_rows(dataset: Dataset) -> list[int]:
    """Return the numbers of the rows that have a reply to train on."""
    return [n for n, example in enumerate(dataset) if is_trainable(example)]


def is_trainable(example: Example) -> bool:
    """Say whether a row has a reply to train on."""
    return any(
        m.role == "assistant" and m.trained and (m.content.strip() or m.tool_calls)
        for m in example.messages
    )
