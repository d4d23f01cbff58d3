"""Blockwise attention: what torch's own kernel gives, and only where it may."""

from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from trial import attention
from trial.attention import BLOCK, NAME, causal_attention, use_blockwise


def draw(length: int, *, heads: int = 3, dtype: torch.dtype) -> list[torch.Tensor]:
    torch.manual_seed(length)
    drawn = [torch.randn(2, heads, length, 16, dtype=dtype) for _ in range(4)]
    return [tensor.requires_grad_() for tensor in drawn[:3]] + drawn[3:]


@pytest.mark.parametrize("length", [1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 50])
def test_it_attends_and_learns_as_torch_does(length: int) -> None:
    *ours, above = draw(length, dtype=torch.float32)
    theirs = [tensor.detach().clone().requires_grad_() for tensor in ours]
    found = causal_attention(*ours, scaling=0.3)
    wanted = functional.scaled_dot_product_attention(*theirs, is_causal=True, scale=0.3)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    found.backward(above)
    wanted.backward(above)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_in_bf16_it_is_as_near_to_fp32_as_torch_is() -> None:
    *exact, _ = draw(200, dtype=torch.float32)
    rough = [tensor.bfloat16() for tensor in exact]
    wanted = functional.scaled_dot_product_attention(*exact, is_causal=True)
    theirs = functional.scaled_dot_product_attention(*rough, is_causal=True)
    found = causal_attention(*rough, scaling=16**-0.5)
    error = (found.float() - wanted).abs().mean()
    assert error < 2 * (theirs.float() - wanted).abs().mean()


class Module(torch.nn.Module):
    is_causal = True


Case = tuple[dict[str, Any], str]
ELSEWHERE: list[Case] = [
    ({"dtype": torch.float32}, "replies are made in fp32"),
    ({"attention_mask": torch.ones(2, 1, 9, 9, dtype=torch.bool)}, "a mask"),
    ({"heads": 1}, "fewer keys than queries"),
    ({"is_causal": False}, "both directions"),
    ({"dropout": 0.1}, "dropout"),
    ({"s_aux": torch.zeros(3)}, "sinks"),
]


@pytest.mark.parametrize("special", ELSEWHERE, ids=[why for _, why in ELSEWHERE])
def test_what_is_not_plainly_causal_is_left_to_torch(
    special: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = dict(special[0])
    dtype = given.pop("dtype", torch.bfloat16)
    query, *_ = draw(9, dtype=dtype)
    _, key, value, _ = draw(9, heads=given.pop("heads", 3), dtype=dtype)
    mask = given.pop("attention_mask", None)
    asked: list[dict[str, Any]] = []

    def theirs(*tensors: Any, **more: Any) -> tuple[torch.Tensor, None]:
        asked.append(more)
        return query, None

    monkeypatch.setattr(attention, "sdpa_attention_forward", theirs)
    attention._forward(Module(), query, key, value, mask, scaling=0.5, **given)
    assert asked == [{"scaling": 0.5, **given}]


def tiny() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = LlamaConfig(vocab_size=50, num_attention_heads=2, **sizes)
    return LlamaForCausalLM(config).eval()


def test_a_model_says_the_same_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "supports_bf16", lambda _: True)
    model, ids = tiny(), torch.randint(0, 50, (3, 150))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        wanted = model(input_ids=ids).logits
        use_blockwise(model)
        assert model.config._attn_implementation == NAME
        calls = []
        exact = causal_attention

        def counted(*given: Any) -> torch.Tensor:
            calls.append(1)
            return exact(*given)

        monkeypatch.setattr(attention, "causal_attention", counted)
        found = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    assert len(calls) == 2  # once a layer
    torch.testing.assert_close(found.float(), wanted.float(), rtol=0.05, atol=0.02)


def test_a_processor_without_bf16_keeps_torchs_attention(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention, "supports_bf16", lambda _: False)
    model = tiny()
    use_blockwise(model)
    assert model.config._attn_implementation == "sdpa"
