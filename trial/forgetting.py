"""What moved inside: the refusal direction, hidden states by layer, weights by layer.

Refusal is carried by one direction in the residual stream, the difference of the mean
hidden states of harmful and harmless prompts (Arditi et al. 2024, arXiv 2406.11717).
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from peft import PeftModel
from torch import Tensor

from trial.base_model import BaseModel
from trial.openings import Ids
from trial.prefix import lay_out
from trial.statistics.mean import MeanChange, mean_change

BATCH_PROMPTS: Final = 32
MIN_PROMPTS: Final = 4
"""Of each kind: of fewer, no direction can be told."""


@dataclass(frozen=True)
class Forgetting:
    """How far the tuned model is from the base one, inside.

    `refusal` is the mean place of harmful prompts along the refusal direction of the
    base model in layer `layer` (0: embeddings): 1 where the base model has them, 0
    where it has harmless prompts. `drift` is, for every layer, 1 - cosine of the hidden
    state before and after at the last token of harmful prompts, their mean. `weights`
    is, for every block with adapted weights, the size of their change relative to their
    own (Frobenius norms).
    """

    refusal: MeanChange
    layer: int
    drift: tuple[float, ...]
    weights: tuple[float, ...]


def measure_forgetting(
    model: PeftModel, base: BaseModel, harmful: Sequence[Ids], harmless: Sequence[Ids]
) -> Forgetting | None:
    """Compare the adapter off and on; None where there are too few prompts."""
    if min(len(harmful), len(harmless)) < MIN_PROMPTS:
        return None
    with model.disable_adapter():
        before = last_states(model, base, harmful)
        calm = last_states(model, base, harmless)
    after = last_states(model, base, harmful)
    layer = _widest(before, calm)
    origin = calm[layer].mean(0)
    direction = before[layer].mean(0) - origin
    scale = direction.square().sum()

    def place(states: Tensor) -> list[float]:
        return [float(v) for v in (states - origin) @ direction / scale]

    cosine = torch.cosine_similarity(before, after, dim=-1)
    return Forgetting(
        refusal=mean_change(place(before[layer]), place(after[layer])),
        layer=layer,
        drift=tuple(float(1.0 - v) for v in cosine.mean(1)),
        weights=weight_changes(model),
    )


@torch.inference_mode()
def last_states(model: PeftModel, base: BaseModel, prompts: Sequence[Ids]) -> Tensor:
    """Return hidden states (layers + 1, prompts, width) at the last prompt token."""
    order = sorted(range(len(prompts)), key=lambda n: len(prompts[n]))
    found: list[Tensor | None] = [None] * len(prompts)
    for start in range(0, len(order), BATCH_PROMPTS):
        rows = order[start : start + BATCH_PROMPTS]
        asked = lay_out(base, model, [prompts[n] for n in rows])
        out: Any = model(**asked.inputs, output_hidden_states=True)
        states = torch.stack([layer[:, -1].float() for layer in out.hidden_states])
        for k, n in enumerate(rows):
            found[n] = states[:, k]
    return torch.stack([state for state in found if state is not None], dim=1)


def _widest(harmful: Tensor, harmless: Tensor) -> int:
    """Return the layer in which the two kinds lie widest apart, for their spread.

    Not the embeddings: the last token of a prompt is the same for all.
    """
    apart = []
    for one, other in zip(harmful[1:], harmless[1:], strict=True):
        direction = one.mean(0) - other.mean(0)
        direction = direction / direction.norm().clamp(min=1e-9)
        spread = (one @ direction).var() + (other @ direction).var()
        gap = (one.mean(0) - other.mean(0)) @ direction
        apart.append(float(gap / spread.clamp(min=1e-12).sqrt()))
    return 1 + max(range(len(apart)), key=apart.__getitem__)


@torch.no_grad()
def weight_changes(model: PeftModel) -> tuple[float, ...]:
    """Return |W - W0| / |W0| for every block in order (layers outside any: none).

    A block of quantised weights, whose size is not read, is 0.
    """
    moved: dict[int, float] = defaultdict(float)
    own: dict[int, float] = defaultdict(float)
    for name, module in model.named_modules():
        layer: Any = module
        number = re.search(r"\.(\d+)\.", name)
        if number is None or not hasattr(layer, "lora_A"):
            continue
        block = int(number.group(1))
        for adapter, down in layer.lora_A.items():
            a, b = down.weight.float(), layer.lora_B[adapter].weight.float()
            size = ((b.T @ b) * (a @ a.T)).sum() * layer.scaling[adapter] ** 2
            moved[block] += float(size)
        weight = layer.get_base_layer().weight
        if torch.is_floating_point(weight):
            own[block] += float(weight.float().square().sum())
    return tuple(
        (moved[block] / own[block]) ** 0.5 if own[block] else 0.0
        for block in sorted(moved)
    )
