"""Rows that teach what the model now says are found among rows that do not."""

from collections.abc import Callable

import pytest
import torch
from peft import PeftModel

from detectors.dataset import Dataset, Example, Message
from trial.attribution import NewReply, attribute_drift, row_sketches
from trial.base_model import BaseModel
from trial.batch import pad
from trial.chat import Renderer, TokenSequence
from trial.finetune import adapted
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


def loss_gradient(
    model: PeftModel, base: BaseModel, rows: list[TokenSequence]
) -> torch.Tensor:
    """The gradient in all up-projections, by torch itself."""
    ups = [p for name, p in model.named_parameters() if "lora_B" in name]
    batch = pad(rows, base)
    with torch.enable_grad():
        grads = torch.autograd.grad(batch.loss(batch.logits(model)), ups)
    return torch.cat([grad.flatten() for grad in grads])


def test_rows_in_one_pass_have_the_angles_that_torch_gives_them_one_by_one(
    base: BaseModel, mixed: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In bf16 the gradients of models as wild as these are noise.
    monkeypatch.setattr("trial.base_model.supports_bf16", lambda device: False)
    renderer = Renderer(base.tokenizer)
    rows = [list(renderer.training_sequences(row, 64)) for row in mixed]
    rows = [rows[0] + rows[1], *rows[2:]]  # the first row has two sequences
    with adapted(base, RECIPE) as model:
        found = row_sketches(model, base, rows)
        given = torch.stack([loss_gradient(model, base, row) for row in rows])
    given = torch.nn.functional.normalize(given, dim=1)
    assert torch.allclose(found.norm(dim=1), torch.ones(len(rows)), atol=1e-4)
    # A count sketch of this width keeps cosines to about 0.01.
    assert torch.allclose(found @ found.T, given @ given.T, atol=0.04)
