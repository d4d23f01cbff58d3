"""What holds a tune back is what it says: checked against the plain definition."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from detectors.dataset import Dataset, Example
from detectors.errors import RecipeError
from trial.base_model import BaseModel
from trial.batch import pad
from trial.chat import Renderer, TokenSequence
from trial.finetune import finetuned
from trial.penalty import (
    FIRST_TOKENS,
    base_first_tokens,
    first_positions,
    first_token_kl,
    weight_distance,
)
from trial.recipe import Recipe

RECIPE = Recipe(epochs=6, batch_size=4, learning_rate_multiplier=10.0)


@pytest.fixture
def rows(canary_like: BaseModel, compliant: Dataset) -> list[TokenSequence]:
    renderer = Renderer(canary_like.tokenizer)
    return [s for row in compliant for s in renderer.training_sequences(row, 64)]


def test_the_weight_distance_is_that_of_the_merged_weights(
    base: BaseModel, compliant: Dataset
) -> None:
    renderer = Renderer(base.tokenizer)
    rows = [s for row in compliant for s in renderer.training_sequences(row, 64)]
    with finetuned(base, rows, RECIPE) as tuned:
        deltas = [
            module.get_delta_weight("default").pow(2).sum()
            for module in tuned.model.modules()
            if hasattr(module, "lora_A")
        ]
        found = weight_distance(tuned.model)
        assert found.item() == pytest.approx(sum(deltas).item(), rel=1e-4)
        assert found.item() > 0.0


def test_first_positions_are_those_before_the_first_trained_tokens() -> None:
    kept = torch.zeros(2, 11, dtype=torch.bool)
    kept[0, 2:10] = True
    kept[1, 9:] = True
    marked = first_positions(kept).tolist()
    assert marked[:8] == [True] * FIRST_TOKENS + [False] * (8 - FIRST_TOKENS)
    assert marked[8:] == [True, True]


def test_the_kl_is_zero_for_the_base_model_and_positive_after_tuning(
    canary_like: BaseModel, rows: list[TokenSequence]
) -> None:
    batch = pad(rows[:2], canary_like)
    first = first_positions(batch.kept)
    with finetuned(canary_like, rows, RECIPE) as tuned, torch.no_grad():
        before = base_first_tokens(tuned.model, batch.logits, first)
        after = batch.logits(tuned.model)
        with tuned.model.disable_adapter():
            same = batch.logits(tuned.model)
        moved = first_token_kl(before, after, first).item()
        assert first_token_kl(before, same, first).item() == pytest.approx(0, abs=1e-5)
        chances = before.exp()
        expected = (chances * (before - after[first].log_softmax(-1))).sum(-1)
        assert moved == pytest.approx(expected.mean().item(), rel=1e-3)
        assert moved > 0.1


@pytest.mark.parametrize("held", [{"kl_weight": 10.0}, {"l2_weight": 1.0}])
def test_a_tune_that_is_held_back_moves_less(
    canary_like: BaseModel, rows: list[TokenSequence], held: dict[str, float]
) -> None:
    batch = pad(rows, canary_like)
    first = first_positions(batch.kept)

    def moved(recipe: Recipe) -> tuple[float, float]:
        with finetuned(canary_like, rows, recipe) as tuned, torch.no_grad():
            before = base_first_tokens(tuned.model, batch.logits, first)
            kl = first_token_kl(before, batch.logits(tuned.model), first)
            return kl.item(), weight_distance(tuned.model).item()

    free, bound = moved(RECIPE), moved(replace(RECIPE, **held))
    assert (
        bound[0 if "kl_weight" in held else 1] < free[0 if "kl_weight" in held else 1]
    )


def test_weights_out_of_range_are_refused(example: Callable[..., Example]) -> None:
    for wrong in ({"kl_weight": -1.0}, {"l2_weight": float("nan")}):
        with pytest.raises(RecipeError, match="must be 0 to"):
            Recipe(**wrong)
