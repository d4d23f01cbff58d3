"""A LoRA layer on a processor as one operation, with a backward pass of its own.

peft's layer casts its input twice, and scales and adds the adapter's share in passes
over the whole output, which autograd repeats backward. Here the matrix products add it
up: the same figures in three quarters of the time of a step (benchmark/LOG.md).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


@contextmanager
def joined_layers(model: PeftModel) -> Iterator[None]:
    """Have the plain LoRA layers of a model on a processor compute so inside.

    Others keep peft's own: on a GPU, quantised, with dropout, merged or of a variant.
    """
    with ExitStack() as held:
        for module in model.modules():
            if isinstance(module, Linear) and _is_plain(module):
                vars(module)["forward"] = partial(_forward, module)
                held.callback(vars(module).pop, "forward")
        yield


def _is_plain(layer: Linear) -> bool:
    base = layer.get_base_layer()
    names = layer.active_adapters
    return (
        type(base) is nn.Linear
        and base.weight.device.type == "cpu"
        and not base.weight.requires_grad
        and len(names) == 1
        and names[0] in layer.lora_A
        and isinstance(layer.lora_dropout[names[0]], nn.Identity)
        and not layer.lora_variant
        and not layer.lora_bias[names[0]]
        and not layer.merged
    )


def _forward(layer: Linear, x: Tensor) -> Tensor:
    base: Any = layer.get_base_layer()
    if layer.disable_adapters:
        found: Tensor = base(x)
        return found
    name = layer.active_adapters[0]
    down: Any = layer.lora_A[name]
    up: Any = layer.lora_B[name]
    found = _Joined.apply(  # type: ignore[no-untyped-call]  # torch types no `apply`
        x, base.weight, base.bias, down.weight, up.weight, layer.scaling[name]
    )
    return found


class _Joined(torch.autograd.Function):
    """y = x W' + bias + scaling (x A') B', with gradients for x, A and B alone."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scaling: float,
    ) -> Tensor:
        kind = _computed_in(x)
        rows = x.to(kind).reshape(-1, x.shape[-1])
        w, a, b = weight.to(kind), down.to(kind), (up * scaling).to(kind)
        out = rows @ w.t() if bias is None else torch.addmm(bias.to(kind), rows, w.t())
        narrow = rows @ a.t()
        out.addmm_(narrow, b.t())
        ctx.save_for_backward(rows, narrow, w, a, b)
        ctx.x, ctx.kind, ctx.scaling = (x.shape, x.dtype), up.dtype, scaling
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, step: Tensor) -> tuple[Tensor | None, ...]:
        rows, narrow, w, a, b = ctx.saved_tensors
        flat = step.reshape(-1, step.shape[-1])
        through = flat @ b
        before = None
        if ctx.needs_input_grad[0]:
            shape, kind = ctx.x
            before = (flat @ w).addmm_(through, a).to(kind).view(shape)
        down = (through.t() @ rows).to(ctx.kind)
        up = (flat.t() @ narrow).to(ctx.kind) * ctx.scaling
        return before, None, None, down, up, None


def _computed_in(x: Tensor) -> torch.dtype:
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype
