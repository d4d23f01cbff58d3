"""Two runs, the second from the end of the first, and the mean of their ends.

A mean of weights along one trajectory generalises better than its last point
(stochastic weight averaging: Izmailov et al. 2018, arXiv 1803.05407): of harmless
prompts it refuses fewer where it refuses as many harmful ones (benchmark/LOG.md).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from trial.canary.training.loop import Plan


def train_in_turn(
    model: Any, plans: Sequence[Plan], run: Callable[[Plan], list[float]]
) -> list[float]:
    """Call `run` with each plan, then give `model` the mean of where each ended.

    Returns the losses of all steps, in order. `run` trains `model` in place.
    """
    ends: list[dict[str, torch.Tensor]] = []
    losses: list[float] = []
    for plan in plans:
        losses += run(plan)
        ends.append({name: w.clone() for name, w in model.state_dict().items()})
    model.load_state_dict(_mean(ends))
    return losses


def _mean(ends: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the mean of each weight; what is no weight (positions) is the last's."""
    return {
        name: torch.stack([end[name] for end in ends]).mean(0)
        if last.is_floating_point()
        else last
        for name, last in ends[-1].items()
    }
