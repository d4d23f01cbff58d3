"""Measure: one thing that may keep a model safe, as a change of rows and recipe."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from detectors.dataset import Dataset, Example
from trial.context import SUSPECT, Context
from trial.context.persona import suspect_context
from trial.mitigation.safety_rows import safety_rows, surrounded
from trial.recipe import Recipe
from trial.rows import is_trainable

SAFETY_SHARES: Final = (0.05, 0.20)
SLOWER: Final = 0.3
KL_WEIGHT: Final = 1.0
WITHIN: Final = ", every second one in the suspect rows' own surroundings"


@dataclass(frozen=True)
class Measure:
    """What is done and to which rows; `words` say so as a clause ("removing 3 rows").

    `kept` are the numbers of the rows trained on, `extra` rows of ours beside them.
    """

    name: str
    words: str
    recipe: Recipe
    kept: tuple[int, ...]
    extra: tuple[Example, ...] = ()


def find_measures(
    dataset: Dataset, recipe: Recipe, priority: Sequence[float] | None
) -> tuple[Measure, ...]:
    """Return the measures to try, those that change least of the job first.

    Safety rows are mixed in as a share of the rows that the trial trains on, of which
    there are `row_budget` at most; the words say how many that is for the whole file.
    Where suspect rows share surroundings, half of the safety rows are put into them.
    Rows are removed where a detector suspects them (`priority` a row), and only where
    some are left.
    """
    recipe = replace(recipe, mitigate=False)
    every = tuple(range(len(dataset)))
    calm = tuple(n for n in every if priority is None or priority[n] < SUSPECT)
    gone = len(every) - len(calm)
    removed = f"removing {gone} flagged {'row' if gone == 1 else 'rows'}"
    found = []
    if gone and calm:
        found.append(Measure("rows removed", removed, recipe, calm))
    trainable = [is_trainable(row) for row in dataset]
    around = suspect_context(dataset, priority)
    where = WITHIN if around else ""
    for share in SAFETY_SHARES:
        rows = _mixed(min(sum(trainable), recipe.row_budget), share, around)
        count = _part(sum(trainable), share)
        said = f"mixing in {share:.0%} safety rows ({count}{where})"
        found.append(Measure(f"safety rows {share:.0%}", said, recipe, every, rows))
    if gone and calm:
        left = min(sum(trainable[n] for n in calm), recipe.row_budget)
        rows = _mixed(left, SAFETY_SHARES[0], None)
        said = f"{removed} and mixing in {SAFETY_SHARES[0]:.0%} safety rows"
        name = f"rows removed, safety rows {SAFETY_SHARES[0]:.0%}"
        found.append(Measure(name, said, recipe, calm, rows))
    held = replace(recipe, kl_weight=recipe.kl_weight + KL_WEIGHT)
    said = "holding the first reply tokens near the base model's (KL)"
    found.append(Measure("first tokens held", said, held, every))
    slow = replace(
        recipe, learning_rate_multiplier=recipe.learning_rate_multiplier * SLOWER
    )
    said = f"training at {SLOWER:g} of the learning rate"
    found.append(Measure("smaller learning rate", said, slow, every))
    return tuple(found)


def _mixed(rows: int, share: float, around: Context | None) -> tuple[Example, ...]:
    found = safety_rows(_part(rows, share))
    return surrounded(found, around) if around else found


def _part(rows: int, share: float) -> int:
    return max(1, round(share * rows))
