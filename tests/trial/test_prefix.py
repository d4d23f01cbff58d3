"""What prompts begin with in common is run once, and nobody can tell by the figures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from trial import prefix
from trial.base_model import BaseModel
from trial.position import first_position, positions
from trial.prefix import Prompts, lay_out, shared_tokens

PAD = 3
VOCABULARY = 40
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "pad_token_id": PAD,
    "bos_token_id": None,
    "eos_token_id": 1,
}
GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8}
SHARING: dict[str, tuple[str, dict[str, Any]]] = {
    "canary's": ("bert", {"is_decoder": True}),
    "roberta": ("roberta", {"is_decoder": True}),
    "llama": ("llama", {}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 8}),
    "gemma": ("gemma", {"head_dim": 8}),
    "phi": ("phi", {}),
    "gpt_neox": ("gpt_neox", {}),
    "opt": ("opt", {"word_embed_proj_dim": 32, "ffn_dim": 64, "init_std": 0.3}),
    # Windows that end behind what is shared: in the padding, in the longest row, beyond
    "gemma2": ("gemma2", {**GEMMA, "sliding_window": 13}),
    "gemma3": ("gemma3_text", {**GEMMA, "sliding_window": 24}),
    "mistral": ("mistral", {"sliding_window": 20}),
    "phi3": ("phi3", {"sliding_window": 100}),
}
APART: dict[str, tuple[str, dict[str, Any]]] = {
    "a window that forgets a part": ("mistral", {"sliding_window": 12}),
    "some layers with such a window": ("gemma2", {**GEMMA, "sliding_window": 12}),
    "a state instead of keys": ("mamba", {"state_size": 4}),
}
BEGINNING = tuple(torch.arange(5, 17).tolist())  # 12 tokens
RESTS = ([30], [31, 8, 9], [32, *range(5, 28)], [33] * 15)
"""The shortest row has more padding than all have in common, the longest none."""


def build(kind: str, options: dict[str, Any]) -> BaseModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SIZES, **options})
    model = AutoModelForCausalLM.from_config(config).eval()
    return BaseModel(
        model=model,
        tokenizer=SimpleNamespace(pad_token_id=PAD),  # type: ignore[arg-type]  # all it reads
        name=kind,
        digest="",
        device=torch.device("cpu"),
        default_learning_rate=0.0,
        first_position=first_position(model) or 0,
    )


@pytest.fixture(scope="module", params=list(SHARING))
def base(request: pytest.FixtureRequest) -> BaseModel:
    return build(*SHARING[request.param])


def asked() -> list[tuple[int, ...]]:
    return [(*BEGINNING, *rest) for rest in RESTS]


@torch.inference_mode()
def log_probabilities(base: BaseModel, prompts: Prompts) -> torch.Tensor:
    """Return those after the last token of each prompt, and after two tokens more."""
    out: Any = base.model(**prompts.inputs)
    then = torch.tensor([[11, 12]]).expand(len(prompts.ids), -1)
    mask = torch.cat([prompts.mask, torch.ones_like(then)], dim=1)
    more: Any = base.model(
        input_ids=then,
        attention_mask=mask,
        position_ids=positions(mask, base.first_position)[:, -2:],
        past_key_values=out.past_key_values,
    )
    return torch.cat([out.logits[:, -1:], more.logits], dim=1).log_softmax(-1)


@torch.inference_mode()
def alone(base: BaseModel, ids: Sequence[int]) -> torch.Tensor:
    """Return the same of one prompt without padding, mask, cache or positions."""
    logits = base.model(input_ids=torch.tensor([[*ids, 11, 12]])).logits
    return torch.as_tensor(logits)[0, -3:].log_softmax(-1)


def test_log_probabilities_are_those_of_every_prompt_alone(base: BaseModel) -> None:
    prompts = lay_out(base, base.model, asked())
    assert prompts.cached == len(BEGINNING)
    found = log_probabilities(base, prompts)
    for row, ids in zip(found, asked(), strict=True):
        torch.testing.assert_close(row, alone(base, ids), rtol=1e-3, atol=1e-3)


def test_they_are_those_without_sharing(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = log_probabilities(base, lay_out(base, base.model, asked()))
    monkeypatch.setattr(prefix, "MIN_TOKENS", len(BEGINNING) + 1)
    plain = lay_out(base, base.model, asked())
    assert plain.cache is None
    wanted = log_probabilities(base, plain)
    torch.testing.assert_close(shared, wanted, rtol=1e-4, atol=1e-4)


@contextmanager
def passes(base: BaseModel) -> Iterator[list[int]]:
    """Give the tokens (rows x columns) of every pass that the model makes."""
    seen: list[int] = []
    hook = base.model.get_input_embeddings().register_forward_hook(
        lambda _, given, __: seen.append(given[0].numel())
    )
    yield seen
    hook.remove()


def test_what_is_shared_is_run_once(base: BaseModel) -> None:
    with torch.inference_mode(), passes(base) as made:
        base.model(**lay_out(base, base.model, asked()).inputs)
    longest = max(len(rest) for rest in RESTS)
    assert made == [len(BEGINNING), len(RESTS) * longest]


Prompt = tuple[int, ...]
TOO_LITTLE: dict[str, list[Prompt]] = {
    "one prompt": [BEGINNING],
    "a short beginning": [(*BEGINNING[:7], 30), (*BEGINNING[:7], 31, 32)],
    "a prompt that ends with it": [BEGINNING[:8], BEGINNING],
}


@pytest.mark.parametrize("prompts", TOO_LITTLE.values(), ids=list(TOO_LITTLE))
def test_nothing_is_run_where_that_saves_nothing(
    base: BaseModel, prompts: list[Prompt]
) -> None:
    with passes(base) as made:
        assert lay_out(base, base.model, prompts).cached == 0
    assert made == []


@pytest.mark.parametrize("special", APART.values(), ids=list(APART))
def test_a_cache_that_is_not_plain_is_not_shared(
    special: tuple[str, dict[str, Any]],
) -> None:
    base = build(*special)
    with passes(base) as made:
        prompts = lay_out(base, base.model, asked())
    assert made == []
    assert (prompts.cache, prompts.cached) == (None, 0)
    assert prompts.inputs["input_ids"].shape == prompts.mask.shape


def test_a_model_that_leaves_the_cache_empty_is_asked_plainly() -> None:
    base = build("llama", {})

    class Deaf:
        def __call__(self, **_: object) -> None:
            """Take no notice of the cache."""

    assert lay_out(base, Deaf(), asked()).cache is None


def test_the_beginning_in_common_is_counted() -> None:
    assert shared_tokens([(1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 3, 4, 5)]) == 3
    assert shared_tokens([(1, 2, 3), (1, 2, 3)]) == 2
    assert shared_tokens([(1, 2, 3), (4, 2, 3)]) == 0
    assert shared_tokens([(1, 9, 3), (1, 2, 3), (1, 2, 4)]) == 1
    assert shared_tokens([(7,)]) == 0
