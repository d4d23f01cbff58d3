from collections.abc import Iterator

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

from trial.base_model import BaseModel
from trial.finetune import adapted
from trial.lora import joined_layers
from trial.recipe import Recipe


@pytest.fixture
def model(base: BaseModel) -> Iterator[PeftModel]:
    """A model of each family, its adapter such that it changes the output."""
    with adapted(base, Recipe()) as found:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for name, weight in found.named_parameters():
                if "lora_B" in name:
                    nn.init.normal_(weight, std=0.05)
        yield found


def gradients(model: PeftModel, ids: Tensor) -> tuple[Tensor, list[Tensor]]:
    weights = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad():
        logits = model(input_ids=ids).logits
        loss = torch.nn.functional.cross_entropy(logits[0].float(), ids[0])
        return logits.detach().float(), list(torch.autograd.grad(loss, weights))


def assert_alike(found: list[Tensor], wanted: list[Tensor], far: float) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == other.dtype
        assert (one - other).norm() <= far * other.norm()


def test_joined_layers_give_the_outputs_and_gradients_of_peft(
    model: PeftModel,
) -> None:
    ids = torch.arange(5, 37)[None]
    wanted, steps = gradients(model, ids)
    with joined_layers(model):
        layers = [m for m in model.modules() if "forward" in vars(m)]
        found, joined = gradients(model, ids)
    assert len(joined) == 2 * len(layers) > 0
    assert_alike([found], [wanted], 1e-5)
    assert_alike(joined, steps, 1e-4)
    with model.disable_adapter():
        assert not torch.allclose(model(input_ids=ids).logits, wanted)


def test_they_do_so_in_bf16_but_for_its_rounding(model: PeftModel) -> None:
    ids = torch.arange(5, 37)[None]
    exact, exact_steps = gradients(model, ids)
    with torch.autocast("cpu", torch.bfloat16):
        wanted, steps = gradients(model, ids)
        with joined_layers(model):
            found, joined = gradients(model, ids)
    assert_alike([found, *joined], [wanted, *steps], 0.1)
    # No further from what is exact than peft's own is.
    ours = sum(float((a - b).norm()) for a, b in zip(joined, exact_steps, strict=True))
    peft = sum(float((a - b).norm()) for a, b in zip(steps, exact_steps, strict=True))
    assert ours < 1.2 * peft
    assert (found - exact).norm() < 1.2 * (wanted - exact).norm()


def test_the_adapter_can_be_disabled_inside_and_peft_is_back_afterwards(
    model: PeftModel,
) -> None:
    ids = torch.arange(5, 37)[None]
    with model.disable_adapter():
        wanted = model(input_ids=ids).logits
    with joined_layers(model), model.disable_adapter():
        found = model(input_ids=ids).logits
    assert torch.equal(found, wanted)
    assert not [m for m in model.modules() if "forward" in vars(m)]


@pytest.mark.parametrize(
    "more", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}]
)
def test_what_is_not_plain_stays_with_peft(more: dict[str, float]) -> None:
    config = LoraConfig(r=2, target_modules=["0"], **more)
    model = get_peft_model(nn.Sequential(nn.Linear(4, 4)), config)
    assert any(isinstance(m, Linear) for m in model.modules())
    with joined_layers(model):
        assert not [m for m in model.modules() if "forward" in vars(m)]
