"""Rows are held out only where there are enough, and never those under suspicion."""

from collections.abc import Callable

from detectors.dataset import Dataset, Example
from trial.base_model import BaseModel
from trial.recipe import Recipe
from trial.rows import HELD_OUT_FROM, HELD_OUT_ROWS, choose_rows, hold_out

RECIPE = Recipe()


def test_a_small_dataset_is_trained_on_whole() -> None:
    kept, said = hold_out(range(HELD_OUT_FROM - 1), RECIPE, None)
    assert kept == ()
    assert said.startswith("not measured")


def test_a_twentieth_is_held_out_and_at_most_so_many() -> None:
    assert len(hold_out(range(400), RECIPE, None)[0]) == 20
    assert len(hold_out(range(100_000), RECIPE, None)[0]) == HELD_OUT_ROWS
    assert hold_out(range(400), RECIPE, None) == hold_out(range(400), RECIPE, None)
    other = Recipe(seed=1)
    assert hold_out(range(400), RECIPE, None) != hold_out(range(400), other, None)


def test_suspect_and_unscored_rows_are_left_to_be_trained_on() -> None:
    priority = [0.9] * 100 + [2.0] * 100 + [0.1] * 200
    kept, _ = hold_out(range(400), RECIPE, priority)
    assert kept
    assert min(kept) >= 200
    assert hold_out(range(400), RECIPE, [0.9] * 400)[0] == ()


def test_what_is_held_out_is_not_trained_on(
    example: Callable[..., Example], canary_like: BaseModel
) -> None:
    rows = tuple(
        example("user", f"tell me {n}", "assistant", f"sure {n}", line=n)
        for n in range(HELD_OUT_FROM)
    )
    made = choose_rows(Dataset("many", rows), canary_like, RECIPE)
    assert (len(made.trained), len(made.held_out)) == (285, 15)
    assert not {row[0].ids for row in made.trained} & {
        row[0].ids for row in made.held_out
    }
    assert "15 rows held out" in made.holding
    assert "all 285 trainable rows" in made.sampling
