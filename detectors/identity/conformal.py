"""p-values from ordinary texts, and Holm's correction for looking at many.

A conformal p-value is the rank of a score among reference scores (Vovk, Gammerman and
Shafer 2005; Bates et al. 2023, arXiv 2104.08279): it is uniform, or larger, for a text
drawn as the reference was, whatever the scores mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """Scores of ordinary texts: the `highest` (k,), ascending, of `count` in all.

    A score below all that were kept gets (k + 1) / (count + 1): less than its own, but
    far over any level at which something is reported.
    """

    highest: NDArray[np.float32]
    count: int

    def p_values(self, scores: Sequence[float]) -> Array:
        """Share of reference scores that are as high, the text counted with them."""
        said = np.asarray(scores, np.float32)
        at_least = len(self.highest) - np.searchsorted(self.highest, said, side="left")
        return np.asarray((at_least + 1) / (self.count + 1), np.float64)


def weighted_holm(p_values: Array, weights: Array) -> Array:
    """Adjust (n,) p-values for any dependence, large weights less (Holm 1979).

    The weights are positive and chosen before the p-values are seen; equal ones give
    the plain correction. Adjusted values keep the family-wise error and are at most 1.
    """
    order = np.argsort(p_values / weights, kind="stable")
    left = np.cumsum(weights[order][::-1])[::-1]
    scaled = p_values[order] * left / weights[order]
    adjusted = np.empty(len(p_values), np.float64)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted
