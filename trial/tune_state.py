"""The state of a tune between two steps: with it the next process goes on as this one.

The order of rows and the learning rate follow from the recipe and the number of steps
done, so weights, the moments of AdamW and the losses so far are all there is to keep.
"""

import time
from collections.abc import Sequence
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trial.memory import Slot

MOMENTS: Final = ("exp_avg", "exp_avg_sq")
SAVE_SECONDS: Final = 20.0
"""Seconds of training that a crash may cost."""


class TuneState:
    """Adapter weights, optimizer and losses, saved in a slot and taken up again.

    Safetensors, never a pickle. What does not fit the weights (another adapter) or is
    no such file counts as absent: the tune then begins at its first step.
    """

    def __init__(
        self, slot: Slot, weights: Sequence[Tensor], optimizer: torch.optim.AdamW
    ) -> None:
        self._slot = slot
        self._weights = weights
        self._optimizer = optimizer
        self._saved_at = time.monotonic()

    def restore(self) -> list[float]:
        """Take up what was saved; return the losses (nats a token) of its steps."""
        content = self._slot.get()
        if content is None:
            return []
        try:
            kept = load(content)
            losses = kept.pop("losses").tolist()
            found = [self._fitting(kept, n) for n in range(len(self._weights))]
        except (SafetensorError, KeyError, ValueError):
            return []
        for weight, (values, *moments) in zip(self._weights, found, strict=True):
            weight.data.copy_(values)
            state = dict(zip(MOMENTS, moments, strict=True))
            self._optimizer.state[weight] = {
                "step": torch.tensor(float(len(losses))),
                **{name: each.to(weight.device) for name, each in state.items()},
            }
        return [float(loss) for loss in losses]

    def save(self, losses: Sequence[float]) -> None:
        """Save the state after `len(losses)` steps, at least one."""
        kept = {"losses": torch.tensor(losses, dtype=torch.float64)}
        for n, weight in enumerate(self._weights):
            state = self._optimizer.state[weight]
            kept[f"{n}.weight"] = weight.detach().cpu().contiguous()
            for name in MOMENTS:
                kept[f"{n}.{name}"] = state[name].cpu().contiguous()
        self._slot.put(save(kept))
        self._saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Say whether the last save is SAVE_SECONDS ago."""
        return time.monotonic() - self._saved_at >= SAVE_SECONDS

    def _fitting(self, kept: dict[str, Tensor], number: int) -> list[Tensor]:
        shape = self._weights[number].shape
        found = [kept[f"{number}.{name}"] for name in ("weight", *MOMENTS)]
        if any(each.shape != shape for each in found):
            raise ValueError(number)
        return found
