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

KEPT: Final = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW holds of a weight once that has had a gradient; nothing of one without."""
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
            losses = _done(kept)
            found = [self._fitting(kept, n) for n in range(len(self._weights))]
        except (SafetensorError, KeyError, ValueError):
            return []
        for weight, (values, state) in zip(self._weights, found, strict=True):
            weight.data.copy_(values)
            if state:
                moments = {name: each.to(weight.device) for name, each in state.items()}
                self._optimizer.state[weight] = {**moments, "step": state["step"]}
        return losses

    def save(self, losses: Sequence[float]) -> None:
        """Save the state after `len(losses)` steps, at least one."""
        kept = {"losses": torch.tensor(losses, dtype=torch.float64)}
        for n, weight in enumerate(self._weights):
            kept[f"{n}.weight"] = weight.detach().cpu().contiguous()
            if state := self._optimizer.state.get(weight):
                for name in KEPT:
                    kept[f"{n}.{name}"] = state[name].cpu().contiguous()
        self._slot.put(save(kept))
        self._saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Say whether the last save is SAVE_SECONDS ago."""
        return time.monotonic() - self._saved_at >= SAVE_SECONDS

    def _fitting(
        self, kept: dict[str, Tensor], number: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return a weight's values and what AdamW held of it, empty if nothing."""
        values = kept[f"{number}.weight"]
        state: dict[str, Tensor] = {}
        if any(f"{number}.{name}" in kept for name in KEPT):
            state = {name: kept[f"{number}.{name}"] for name in KEPT}
        moments = [each for name, each in state.items() if name != "step"]
        if state and state["step"].dim():
            raise ValueError(number)
        if any(
            each.shape != self._weights[number].shape for each in (values, *moments)
        ):
            raise ValueError(number)
        return values, state


def _done(kept: dict[str, Tensor]) -> list[float]:
    """Return the losses of the steps done; a state is of at least one."""
    losses = kept["losses"]
    if losses.dim() != 1 or not len(losses):
        raise ValueError("losses")
    return [float(loss) for loss in losses]
