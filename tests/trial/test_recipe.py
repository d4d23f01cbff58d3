"""A recipe that cannot be run is refused with the value and the limit."""

import pytest

from detectors.errors import RecipeError
from trial.recipe import MAX_TEMPLATE_CHARS, Recipe


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"lora_rank": -1}, "lora_rank must be at least 1"),
        ({"row_budget": 0}, "row_budget"),
        ({"max_tokens": 8}, "max_tokens must be at least 16"),
        ({"learning_rate_multiplier": 0.0}, "learning_rate_multiplier"),
        ({"learning_rate_multiplier": float("nan")}, "learning_rate_multiplier"),
        ({"chat_template": "x" * (MAX_TEMPLATE_CHARS + 1)}, "chat_template"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        Recipe(**options)


def test_the_default_recipe_is_the_canary() -> None:
    assert Recipe().base_model == "canary"


def test_an_automatic_batch_grows_with_the_dataset_up_to_a_limit() -> None:
    recipe = Recipe()
    sizes = [recipe.batch_rows(rows) for rows in (1, 10, 60, 100, 1000)]
    assert sizes == [1, 2, 12, 16, 16]
    assert Recipe(batch_size=7).batch_rows(1000) == 7
