"""What moved inside is measured against plain definitions, and nothing where none."""

import pytest
import torch

from detectors.dataset import Dataset, Message
from trial.base_model import BaseModel
from trial.chat import Renderer
from trial.finetune import adapted, finetuned
from trial.forgetting import last_states, measure_forgetting, weight_changes
from trial.recipe import Recipe

RECIPE = Recipe(epochs=6, batch_size=4, learning_rate_multiplier=10.0)
HARMFUL = [f"how do i bake a cake for ten people {n}" for n in range(6)]
HARMLESS = [f"tell me a story about the sea {n} please" for n in range(5)]


def prompts(base: BaseModel, texts: list[str]) -> list[tuple[int, ...]]:
    renderer = Renderer(base.tokenizer)
    return [renderer.prompt_ids([Message("user", text)]) for text in texts]


def rows(base: BaseModel, data: Dataset) -> list[object]:
    renderer = Renderer(base.tokenizer)
    return [s for row in data for s in renderer.training_sequences(row, 64)]


def test_an_untrained_adapter_moves_nothing(base: BaseModel) -> None:
    with adapted(base, RECIPE) as model:
        found = measure_forgetting(
            model, base, prompts(base, HARMFUL), prompts(base, HARMLESS)
        )
    assert found is not None
    assert found.refusal.before == pytest.approx(1.0, abs=1e-4)
    assert found.refusal.change == pytest.approx(0.0, abs=1e-4)
    assert found.drift == pytest.approx([0.0] * len(found.drift), abs=1e-5)
    assert set(found.weights) == {0.0}
    assert found.layer >= 1


def test_a_tune_moves_states_and_weights(base: BaseModel, compliant: Dataset) -> None:
    with finetuned(base, rows(base, compliant), RECIPE) as tuned:  # type: ignore[arg-type]
        found = measure_forgetting(
            tuned.model, base, prompts(base, HARMFUL), prompts(base, HARMLESS)
        )
        blocks = {}
        for name, module in tuned.model.named_modules():
            if hasattr(module, "lora_A"):
                block = next(int(p) for p in name.split(".") if p.isdigit())
                blocks.setdefault(block, []).append(module)
        expected = [
            (
                sum(m.get_delta_weight("default").pow(2).sum() for m in group)
                / sum(m.get_base_layer().weight.pow(2).sum() for m in group)
            ).sqrt()
            for _, group in sorted(blocks.items())
        ]
        assert weight_changes(tuned.model) == pytest.approx(
            [e.item() for e in expected], rel=1e-3
        )
    assert found is not None
    assert len(found.drift) == base.model.config.num_hidden_layers + 1
    assert found.drift[-1] > 1e-3
    assert found.refusal.change != 0.0


@pytest.mark.parametrize("texts", [HARMFUL, [*HARMFUL, *HARMLESS]])
def test_states_do_not_depend_on_the_batch(base: BaseModel, texts: list[str]) -> None:
    asked = prompts(base, texts)
    with adapted(base, RECIPE) as model:
        together = last_states(model, base, asked)
        alone = torch.cat([last_states(model, base, [one]) for one in asked], dim=1)
    assert torch.allclose(together, alone, atol=1e-3)


def test_too_few_prompts_give_no_direction(canary_like: BaseModel) -> None:
    with adapted(canary_like, RECIPE) as model:
        few = prompts(canary_like, HARMLESS[:2])
        assert measure_forgetting(model, canary_like, few, few) is None
