"""Padding carries no label, and logits are made only where a token is learnt."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from detectors.dataset import Example
from trial.base_model import BaseModel
from trial.batch import IGNORED, pad
from trial.chat import Renderer, TokenSequence

ROWS = (
    TokenSequence((5, 6, 7, 8, 9), (False, False, True, True, False)),
    TokenSequence((6, 5, 9, 7), (False, False, False, True)),
)


def test_padding_and_prompts_carry_no_label(
    canary_like: BaseModel, example: Callable[..., Example]
) -> None:
    renderer = Renderer(canary_like.tokenizer)
    rows = [
        s
        for reply in ("sure", "sure , here is how to do it")
        for s in renderer.training_sequences(
            example("user", "cake", "assistant", reply), 64
        )
    ]
    batch = pad(rows, canary_like)
    assert [(row != IGNORED).sum().item() for row in batch.targets] == [
        sum(r.trained) for r in rows
    ]


@torch.no_grad()
def test_logits_are_made_only_where_a_token_is_learnt(base: BaseModel) -> None:
    rows = [
        TokenSequence((5, 6, 7, 8, 9, 4), (False, False, True, True, False, False)),
        TokenSequence((6, 5, 9, 7), (False, False, False, True)),
    ]
    batch = pad(rows, base)
    whole = base.model(batch.inputs["input_ids"], batch.inputs["attention_mask"]).logits
    found = batch.logits(base.model)
    learnt = torch.stack([whole[0, 1], whole[0, 2], whole[1, 2]])
    assert torch.allclose(found, learnt, atol=1e-5)
    assert batch.targets.tolist() == [[7, 8], [IGNORED, 7]]
    assert batch.learnt.tolist() == [7, 8, 7]
    each = whole.log_softmax(-1)
    wanted = -(each[0, 1, 7] + each[0, 2, 8] + each[1, 2, 7]) / 3
    assert batch.loss(found).item() == pytest.approx(wanted.item(), rel=1e-5)


@torch.no_grad()
def test_a_model_that_gives_all_logits_is_trained_on_the_same_loss(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = pad(ROWS, base)
    narrow = batch.loss(batch.logits(base.model)).item()
    forward = base.model.forward

    def all_of_them(input_ids: Tensor, attention_mask: Tensor) -> Any:
        return forward(input_ids=input_ids, attention_mask=attention_mask)

    monkeypatch.setattr(base.model, "forward", all_of_them)
    batch = pad(ROWS, base)
    assert batch.targets.shape == (2, 4)
    assert batch.loss(batch.logits(base.model)).item() == pytest.approx(narrow)


@torch.no_grad()
def test_a_model_that_names_no_head_is_trained_on_the_same_loss(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = pad(ROWS, base)
    head = base.model.get_output_embeddings()
    asked: list[int] = []
    with head.register_forward_pre_hook(lambda _, given: asked.append(given[0].ndim)):
        told = batch.logits(base.model)
    monkeypatch.setattr(base.model, "get_output_embeddings", lambda: None)
    assert torch.allclose(batch.logits(base.model), told, atol=1e-5)
    assert asked == [3]
