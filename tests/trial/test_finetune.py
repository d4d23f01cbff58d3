"""The LoRA loop learns, repeats itself exactly, and leaves the base as it was."""

from dataclasses import replace

import pytest
import torch

from detectors.dataset import Dataset
from detectors.errors import RecipeError, TrialError
from trial.base_model import BaseModel
from trial.batch import pad
from trial.chat import Renderer, TokenSequence
from trial.finetune import (
    adapter_targets,
    batches,
    finetuned,
    schedule,
)
from trial.recipe import Recipe

RECIPE = Recipe(epochs=6, batch_size=4, learning_rate_multiplier=10.0)


def sequences_of(dataset: Dataset, base: BaseModel) -> list[TokenSequence]:
    renderer = Renderer(base.tokenizer)
    return [s for row in dataset for s in renderer.training_sequences(row, 64)]


def test_the_loss_falls_on_every_kind_of_model(
    base: BaseModel, compliant: Dataset
) -> None:
    with finetuned(base, sequences_of(compliant, base), RECIPE) as tuned:
        assert len(tuned.losses) == 6 * 2
        assert tuned.losses[-1] < 0.8 * tuned.losses[0]


def test_the_same_seed_gives_the_same_losses(
    canary_like: BaseModel, compliant: Dataset
) -> None:
    rows = sequences_of(compliant, canary_like)
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(runs))
        with finetuned(
            canary_like, rows, replace(RECIPE, epochs=2, seed=seed)
        ) as tuned:
            runs.append(tuned.losses)
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_the_base_model_is_exactly_restored(
    base: BaseModel, compliant: Dataset
) -> None:
    before = {k: v.clone() for k, v in base.model.state_dict().items()}
    with finetuned(base, sequences_of(compliant, base), RECIPE):
        assert base.model.state_dict().keys() != before.keys()
    after = base.model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[k], before[k]) for k in before)
    assert not any(p.requires_grad for p in base.model.parameters())


def test_the_base_model_is_restored_after_a_failure(
    canary_like: BaseModel, compliant: Dataset
) -> None:
    names = set(canary_like.model.state_dict())
    rows = sequences_of(compliant, canary_like)
    with torch.no_grad():
        canary_like.model.get_output_embeddings().bias[3] = float("nan")
    with (
        pytest.raises(TrialError, match="lower learning_rate_multiplier"),
        finetuned(canary_like, rows, RECIPE),
    ):
        pass
    assert set(canary_like.model.state_dict()) == names


def test_without_its_adapter_the_tuned_model_is_the_base(
    canary_like: BaseModel, compliant: Dataset
) -> None:
    rows = sequences_of(compliant, canary_like)
    batch = pad(rows[:2], canary_like)
    with torch.no_grad():
        plain = canary_like.model(**batch.inputs).logits
        with finetuned(canary_like, rows, RECIPE) as tuned:
            adapted = tuned.model(**batch.inputs).logits
            with tuned.model.disable_adapter():
                without = tuned.model(**batch.inputs).logits
    assert torch.equal(plain, without)
    assert not torch.allclose(plain, adapted, atol=1e-2)


def test_training_does_not_touch_the_global_random_state(
    canary_like: BaseModel, compliant: Dataset
) -> None:
    before = torch.random.get_rng_state()
    with finetuned(canary_like, sequences_of(compliant, canary_like), RECIPE):
        pass
    assert torch.equal(before, torch.random.get_rng_state())


def test_all_linear_layers_but_the_head_are_adapted(base: BaseModel) -> None:
    names = adapter_targets(base.model)
    last = {name.rpartition(".")[2] for name in names}
    expected = {
        "bert": {"query", "key", "value", "dense"},
        "llama": {"q_proj", "k_proj", "v_proj", "o_proj"}
        | {"gate_proj", "up_proj", "down_proj"},
        "gpt_neox": {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"},
    }
    assert last == expected[base.model.config.model_type]
    assert not any("head" in n or n.startswith("cls.") for n in names)


def test_targets_narrow_the_layers_and_an_unknown_one_is_an_input_error(
    canary_like: BaseModel,
) -> None:
    names = adapter_targets(canary_like.model, ["query"])
    assert names
    assert all(name.endswith(".query") for name in names)
    with pytest.raises(RecipeError, match=r"q_proj; this model has .*query"):
        adapter_targets(canary_like.model, ["q_proj"])


def test_parts_that_no_text_runs_through_are_not_adapted() -> None:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    config = Gemma3Config(
        text_config={**size, **heads, "vocab_size": 50},
        vision_config={**size, "num_attention_heads": 2, "image_size": 28},
    )
    names = adapter_targets(Gemma3ForConditionalGeneration(config))
    assert any(name.endswith("language_model.layers.0.mlp.up_proj") for name in names)
    assert all("language_model" in name for name in names)


def test_every_row_is_in_one_batch_of_an_epoch_and_epochs_differ() -> None:
    rows = [TokenSequence((1,) * (i % 7 + 2), (True,) * (i % 7 + 2)) for i in range(53)]
    first = list(batches(rows, 5, "0 0"))
    assert sorted(i for b in first for i in b) == list(range(53))
    assert max(len(b) for b in first) == 5
    assert first == list(batches(rows, 5, "0 0"))
    assert first != list(batches(rows, 5, "0 1"))


def test_batches_hold_rows_of_similar_length() -> None:
    rows = [TokenSequence((1,) * n, (True,) * n) for n in range(2, 82)]
    spread = [max(b) - min(b) for b in batches(rows, 10, "x")]
    assert sum(spread) / len(spread) < 30


def test_the_rate_never_starts_at_zero_and_ends_near_it() -> None:
    rates = [schedule(step, 100) for step in range(100)]
    assert rates[0] > 0
    assert max(rates) > 0.95
    assert rates[-1] == pytest.approx(0.01)
    assert schedule(0, 1) == 1.0
