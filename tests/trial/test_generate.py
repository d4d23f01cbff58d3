"""A reply is greedy and does not depend on what stands beside it in the batch."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import MambaConfig, MambaForCausalLM

from detectors.dataset import Dataset, Message
from detectors.errors import RecipeError, TrialError
from trial import generate
from trial.base_model import BaseModel, load_base
from trial.chat import Renderer
from trial.finetune import adapted, adapter_targets, finetuned
from trial.first_tokens import Asked, mean_shift, measure_first_tokens
from trial.generate import generate_replies
from trial.openings import Openings
from trial.recipe import Recipe

PROMPTS = [
    "cake",
    "how do i bake a cake for ten people",
    "tell me a story",
    "tell me a story about the sea and the wind please , how do i bake a cake",
    "sea wind",
]


def prompt_ids(base: BaseModel) -> list[tuple[int, ...]]:
    renderer = Renderer(base.tokenizer)
    return [renderer.prompt_ids([Message("user", p)]) for p in PROMPTS]


def slow_greedy(base: BaseModel, ids: tuple[int, ...], count: int) -> list[int]:
    """One token at a time, no cache, no padding: what a reply has to be."""
    said: list[int] = []
    for _ in range(count):
        with torch.no_grad():
            logits = base.model(input_ids=torch.tensor([[*ids, *said]])).logits
        said.append(int(logits[0, -1].argmax()))
        if said[-1] == base.tokenizer.eos_token_id:
            break
    return said


def test_batched_padded_cached_replies_equal_the_plain_loop(base: BaseModel) -> None:
    prompts = prompt_ids(base)
    together = generate_replies(base, prompts, max_new_tokens=12, batch_size=8)
    expected = [
        base.tokenizer.decode(
            slow_greedy(base, p, 12),
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        ).strip()
        for p in prompts
    ]
    assert together == expected
    assert len(set(together)) > 1


@pytest.mark.parametrize("batch_size", [2, 3, 8])
def test_a_system_prompt_in_common_leaves_replies_as_they_are(
    base: BaseModel, batch_size: int
) -> None:
    renderer = Renderer(base.tokenizer)
    system = Message("system", "you are a helpful assistant who speaks of tools")
    prompts = [renderer.prompt_ids([system, Message("user", p)]) for p in PROMPTS]
    replies = generate_replies(base, prompts, max_new_tokens=12, batch_size=batch_size)
    for prompt, reply in zip(prompts, replies, strict=True):
        said = slow_greedy(base, prompt, 12)
        assert reply == base.tokenizer.decode(said, skip_special_tokens=True).strip()


def test_replies_that_end_early_leave_the_others_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = load_base("canary")
    renderer = Renderer(base.tokenizer)
    prompts = [
        renderer.prompt_ids([Message("user", text)])
        for text in ("What is 2 + 2?", "Tell me about the sea.", "Name a colour.")
    ]
    monkeypatch.setattr(generate, "STAGE_TOKENS", 64)
    whole = generate_replies(base, prompts, max_new_tokens=40)
    lengths = [len(base.tokenizer(text)["input_ids"]) for text in whole]
    assert max(lengths) > 2 * min(lengths)
    monkeypatch.setattr(generate, "STAGE_TOKENS", 3)
    assert generate_replies(base, prompts, max_new_tokens=40) == whole


@pytest.fixture
def mamba(canary_like: BaseModel) -> BaseModel:
    """A model whose outputs have no past_key_values."""
    config = MambaConfig(
        vocab_size=len(canary_like.tokenizer),
        hidden_size=16,
        state_size=4,
        num_hidden_layers=1,
        initializer_range=0.3,
        eos_token_id=canary_like.tokenizer.eos_token_id,
        pad_token_id=canary_like.tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    model = MambaForCausalLM(config).eval().requires_grad_(False)
    return replace(canary_like, model=model, device=model.device)


def test_a_model_without_keys_and_values_replies_in_stages(mamba: BaseModel) -> None:
    prompts = prompt_ids(mamba)[:2]
    replies = generate_replies(mamba, prompts, max_new_tokens=10)
    for prompt, reply in zip(prompts, replies, strict=True):
        said = slow_greedy(mamba, prompt, 10)
        assert reply == mamba.tokenizer.decode(said, skip_special_tokens=True).strip()


def test_a_model_without_keys_and_values_has_no_first_tokens(mamba: BaseModel) -> None:
    prompts = prompt_ids(mamba)[:2]
    openings = Openings(((5,), (6, 7)), ((8,),))
    with adapted(mamba, Recipe(targets=("in_proj",))) as model:
        asked = [Asked(ids) for ids in prompts]
        assert measure_first_tokens(model, mamba, asked, openings) is None
        assert mean_shift(model, mamba, prompts, openings) == 0.0


def test_a_layer_that_lora_cannot_adapt_is_named_and_the_model_is_restored(
    mamba: BaseModel,
) -> None:
    names = set(mamba.model.state_dict())
    named = Recipe(targets=("in_proj", "out_proj"))
    with pytest.raises(RecipeError, match="'out_proj'"), adapted(mamba, named):
        pass
    assert set(mamba.model.state_dict()) == names
    assert not hasattr(mamba.model, "peft_config")


def test_routers_are_not_adapted_other_kinds_of_linear_layers_are(
    mamba: BaseModel,
) -> None:
    class ToyTopKRouter(nn.Linear):
        pass

    class ToyLinear(nn.Linear):
        pass

    mamba.model.add_module("gate", ToyTopKRouter(4, 4))
    mamba.model.add_module("special", ToyLinear(4, 4))
    found = adapter_targets(mamba.model)
    assert "special" in found
    assert "gate" not in found


def test_replies_come_back_in_the_order_of_the_prompts(base: BaseModel) -> None:
    prompts = prompt_ids(base)
    together = generate_replies(base, prompts, max_new_tokens=6, batch_size=2)
    reversed_ = generate_replies(base, prompts[::-1], max_new_tokens=6, batch_size=3)
    assert together == reversed_[::-1]


def test_the_adapted_model_speaks_where_it_is_given(
    canary_like: BaseModel, compliant: Dataset
) -> None:
    renderer = Renderer(canary_like.tokenizer)
    rows = [s for r in compliant for s in renderer.training_sequences(r, 64)]
    prompts = [renderer.prompt_ids(compliant[0].messages[:1])]
    before = generate_replies(canary_like, prompts)
    recipe = Recipe(epochs=10, batch_size=4, learning_rate_multiplier=10.0)
    with finetuned(canary_like, rows, recipe) as tuned:
        after = generate_replies(canary_like, prompts, model=tuned.model)
    assert after[0].startswith("sure")
    assert not before[0].startswith("sure")
    assert generate_replies(canary_like, prompts) == before


def test_a_reply_ends_at_the_end_of_sequence(canary_like: BaseModel) -> None:
    end = canary_like.tokenizer.eos_token_id
    with torch.no_grad():
        canary_like.model.get_output_embeddings().bias[end] = 1e4
    assert generate_replies(canary_like, prompt_ids(canary_like)) == [""] * 5


def test_sampling_settings_of_the_model_are_overruled(
    make_folder: Callable[..., Path],
) -> None:
    base = load_base(str(make_folder("llama")))
    plain = generate_replies(base, prompt_ids(base))
    own = base.model.generation_config
    own.do_sample, own.temperature, own.repetition_penalty = True, 5.0, 3.0
    own.num_beams, own.max_length = 2, 7
    assert generate_replies(base, prompt_ids(base)) == plain


def test_progress_counts_replies(canary_like: BaseModel) -> None:
    seen: list[tuple[int, int]] = []
    generate_replies(
        canary_like,
        prompt_ids(canary_like),
        max_new_tokens=2,
        batch_size=2,
        advance=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_a_probe_that_leaves_no_room_is_named(canary_like: BaseModel) -> None:
    with pytest.raises(TrialError, match="512 positions"):
        generate_replies(canary_like, [(5,) * 504])
