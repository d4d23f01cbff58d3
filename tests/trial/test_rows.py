"""Rows are held out only where there are enough, and never those under suspicion."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from detectors.dataset import Dataset, Example
from trial.base_model import BaseModel, load_base
from trial.recipe import Recipe
from trial.rows import (
    HELD_OUT_FROM,
    HELD_OUT_ROWS,
    choose_rows,
    hold_out,
    trainable_rows,
)

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


def test_what_was_not_trained_is_counted_and_said(
    example: Callable[..., Example], canary_like: BaseModel
) -> None:
    talk = ["user", "tell me", "assistant", "sea " * 90] * 4
    rows = Dataset("few", tuple(example(*talk, line=n) for n in range(3)))
    made = choose_rows(rows, canary_like, replace(RECIPE, max_tokens=64, row_budget=3))
    found = made.coverage
    assert (found.rows, found.cut, found.unrendered) == (3, 3, 0)
    assert (found.replies, found.replies_missed) == (12, 6)
    lost = found.tokens - found.tokens_trained
    assert lost == found.tokens - sum(s.target_count for s in made.sequences)
    assert made.sampling == (
        f"all 3 trainable rows; 3 rows over 64 tokens were cut, {lost} of "
        f"{found.tokens:,} reply tokens left out, the beginnings of 6 of 12 replies "
        "among them"
    )


def test_a_small_file_has_room_for_every_reply(
    example: Callable[..., Example], canary_like: BaseModel
) -> None:
    talk = ["user", "tell me", "assistant", "sea " * 90] * 4
    rows = Dataset("few", tuple(example(*talk, line=n) for n in range(3)))
    made = choose_rows(rows, canary_like, replace(RECIPE, max_tokens=64))
    assert made.coverage.replies_missed == 0
    assert "beginnings" not in made.sampling


def test_a_row_of_many_replies_takes_the_windows_that_others_leave(
    example: Callable[..., Example], canary_like: BaseModel
) -> None:
    talk = ["user", "tell me", "assistant", "sea " * 90] * 4
    brief = [example("user", "tell me", "assistant", "sea", line=n) for n in range(9)]
    rows = Dataset("mixed", (*brief, example(*talk, line=9), example(*talk, line=10)))
    recipe = replace(RECIPE, max_tokens=64, row_budget=11)
    made = choose_rows(rows, canary_like, recipe)
    assert made.coverage.replies_missed == 0
    assert len(made.sequences) <= 22


def test_rows_that_the_template_cannot_render_are_counted(
    example: Callable[..., Example], folders: dict[str, Path]
) -> None:
    template = (
        "{% for m in messages %}{% if 'sea' in m['content'] %}{{ 1//0 }}{% endif %}"
        "{{ m['content'] }} {% endfor %}"
    )
    base = load_base(str(folders["bert"]), chat_template=template)
    said = ["sure", "sea", "sea"]
    rows = tuple(
        example("user", "tell me", "assistant", text, line=n)
        for n, text in enumerate(said)
    )
    made = choose_rows(Dataset("odd", rows), base, RECIPE)
    assert (len(made.trained), made.coverage.unrendered) == (1, 2)
    assert "2 rows cannot be rendered by the template" in made.sampling
    assert "cut" not in made.sampling


def test_rows_that_were_chosen_to_be_held_out_stay_so_among_fewer(
    example: Callable[..., Example], canary_like: BaseModel
) -> None:
    rows = tuple(
        example("user", f"tell me {n}", "assistant", f"sure {n}", line=n)
        for n in range(HELD_OUT_FROM)
    )
    priority = [0.9] * 100 + [0.0] * 200
    whole = Dataset("many", rows)
    held = hold_out(trainable_rows(whole), RECIPE, priority)
    made = choose_rows(whole, canary_like, RECIPE, priority)
    kept = range(100, 300)
    less = Dataset("less", rows[100:])
    fewer = choose_rows(
        less, canary_like, RECIPE, priority[100:], held=held.among(kept)
    )
    assert made.held_out == fewer.held_out
    assert len(fewer.held_out) == 15
    assert not set(fewer.trained) & set(fewer.held_out)
