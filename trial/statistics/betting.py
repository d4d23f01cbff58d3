"""Evidence that may be looked at as often as one likes: betting on a paired change.

For every margin m the hypothesis "the mean change is at most m" is bet against. Of the
capital a share `c` of the largest stake allowed is put on each probe, so it grows by
1 + s (d - m), with d = 1 (gained), 0 or -1 (lost) and s = c / (1 + m). Under the
hypothesis the capital is a non-negative supermartingale, hence ever reaches 1 / alpha
with probability alpha at most (Ville 1939), whenever and however often one looks.
Bounds are the margins that are not lost by then: a confidence sequence (Waudby-Smith
and Ramdas, Journal of the Royal Statistical Society B 86, 2024, 1-27). The capital is
shared over several `c` at the start, which keeps all this.

It needs no approximation. Probes may come in blocks of one probe a category with other
rates in each: the mean of the growth over a block is a product of 1 + s (mu_c - m),
which by the inequality of the means is at most (1 + s (mean - m)) ** categories.
"""

import math
from typing import Final

import numpy as np
from scipy import optimize, special

from trial.statistics.paired import CONFIDENCE

STAKES: Final = np.array([0.1, 0.2, 0.35, 0.5, 0.7, 0.9])
"""Shares of the largest stake: small ones win on small changes, large ones fast."""

_EDGE: Final = 1e-9


def log_capital(gained: int, lost: int, n: int, margin: float) -> float:
    """Log of the capital won against "the mean change is at most `margin`".

    -1 < margin < 1. Above log(1 / alpha) the hypothesis is rejected at level alpha.
    """
    stakes = STAKES / (1.0 + margin)
    logs = (
        gained * np.log1p(stakes * (1.0 - margin))
        + lost * np.log1p(-STAKES)
        + (n - gained - lost) * np.log1p(-stakes * margin)
    )
    return float(special.logsumexp(logs) - math.log(len(STAKES)))


def lower_bound(gained: int, lost: int, n: int, alpha: float) -> float:
    """Change that the true one is at least, but for an error probability `alpha`.

    Holds at all looks together. -1 where nothing is known.
    """
    needed = -math.log(alpha)

    def excess(margin: float) -> float:
        return log_capital(gained, lost, n, margin) - needed

    low, high = -1.0 + _EDGE, 1.0 - _EDGE
    if excess(low) <= 0.0:
        return -1.0
    return float(optimize.brentq(excess, low, high, xtol=1e-7))


def betting_interval(
    gained: int, lost: int, n: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of the mean change that holds at all looks together."""
    alpha = (1.0 - confidence) / 2
    return (
        lower_bound(gained, lost, n, alpha),
        -lower_bound(lost, gained, n, alpha),
    )
