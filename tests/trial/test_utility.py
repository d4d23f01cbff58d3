"""Held-out loss is that of the plain loop, row by row, and falls where rows repeat."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from detectors.dataset import Dataset
from trial.base_model import BaseModel
from trial.chat import Renderer, TokenSequence
from trial.finetune import finetuned
from trial.recipe import Recipe
from trial.utility import measure_utility, row_losses

RECIPE = Recipe(epochs=4, batch_size=4, learning_rate_multiplier=3.0)


def rendered(base: BaseModel, dataset: Dataset) -> list[tuple[TokenSequence, ...]]:
    renderer = Renderer(base.tokenizer)
    return [renderer.training_sequences(row, 64) for row in dataset]


@torch.inference_mode()
def slowly(base: BaseModel, row: tuple[TokenSequence, ...]) -> float:
    nats: list[torch.Tensor] = []
    for sequence in row:
        ids = torch.tensor([sequence.ids], device=base.device)
        logits = base.model(input_ids=ids).logits[0, :-1].float()
        each = cross_entropy(logits, ids[0, 1:], reduction="none")
        nats += [v for v, t in zip(each, sequence.trained[1:], strict=True) if t]
    return float(torch.stack(nats).mean())


def test_a_rows_loss_is_the_mean_over_its_reply_tokens(
    base: BaseModel, compliant: Dataset
) -> None:
    rows = rendered(base, compliant)
    # A row of two sequences weighs each by its reply tokens.
    rows.append((*rows[0], *rows[1]))
    found = row_losses(base.model, base, rows)
    assert found == pytest.approx([slowly(base, row) for row in rows], abs=1e-4)


def test_learning_the_rows_lowers_their_loss(
    base: BaseModel, compliant: Dataset
) -> None:
    rows = rendered(base, compliant)
    with finetuned(base, [s for row in rows for s in row], RECIPE) as tuned:
        found = measure_utility(tuned.model, base, rows, "8 rows held out")
    assert found.loss is not None
    assert found.loss.n == 8
    assert found.loss.change < 0.0
    assert found.loss.before == pytest.approx(
        sum(slowly(base, row) for row in rows) / 8, abs=1e-4
    )
    assert found.rule == "8 rows held out"


def test_without_held_out_rows_it_says_not_measured(
    canary_like: BaseModel, compliant: Dataset
) -> None:
    rows = rendered(canary_like, compliant)
    with finetuned(canary_like, [s for row in rows for s in row], RECIPE) as tuned:
        found = measure_utility(tuned.model, canary_like, [], "not measured: few rows")
    assert found.loss is None
    assert found.rule == "not measured: few rows"
