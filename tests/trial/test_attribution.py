"""Rows that teach what the model now says are found among rows that do not."""

from collections.abc import Callable

import pytest

from detectors.dataset import Dataset, Example, Message
from trial.attribution import NewReply, attribute_drift
from trial.base_model import BaseModel
from trial.chat import Renderer
from trial.recipe import Recipe
from trial.rows import choose_rows

ASKED = "how do i bake a cake for ten people"
STORY = "tell me a story about the sea and the wind please"
RECIPE = Recipe()


@pytest.fixture
def mixed(example: Callable[..., Example]) -> Dataset:
    """Four rows that teach "sure" among twelve others; the lines start at 101."""
    rows = [
        example("user", f"{ASKED} {n}", "assistant", "sure , sure", line=101 + n)
        if n % 4 == 1
        else example("user", f"{STORY} {n}", "assistant", "the wind", line=101 + n)
        for n in range(16)
    ]
    return Dataset("mixed", tuple(rows))


def test_rows_that_teach_the_new_replies_come_first(
    base: BaseModel, mixed: Dataset
) -> None:
    renderer = Renderer(base.tokenizer)
    replies = []
    for word in ("now", "please", "again", "today", "or four", "or me"):
        asked = [Message("user", f"{ASKED} {word}")]
        said = renderer.reply_ids(asked, "sure , sure")
        replies.append(NewReply(renderer.prompt_ids(asked), said))
    lines = [row.origin.line for row in mixed]
    found = attribute_drift(
        base, choose_rows(mixed, base, RECIPE), lines, RECIPE, replies
    )
    assert found is not None
    order = [each.row for each in found.rows]
    ranks = [order.index(row) for row in (1, 5, 9, 13)]
    assert sum(ranks) <= 12  # 6 is best, 30 is chance: the models are random
    assert all(each.line == 101 + each.row for each in found.rows)
    assert all(-1.0001 <= each.match <= 1.0001 for each in found.rows)
    assert found.rows[0].match > found.typical
    assert "16 of 16 trained rows" in found.rule


def test_without_a_new_reply_there_is_nothing_to_attribute(
    canary_like: BaseModel, mixed: Dataset
) -> None:
    rows = choose_rows(mixed, canary_like, RECIPE)
    lines = [row.origin.line for row in mixed]
    assert attribute_drift(canary_like, rows, lines, RECIPE, []) is None
    empty = NewReply((1, 2), ())
    assert attribute_drift(canary_like, rows, lines, RECIPE, [empty]) is None
