"""One rate: the exact interval of a share."""

from scipy import stats

from trial.statistics.paired import CONFIDENCE


def exact_interval(
    count: int, n: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Exact interval of a share, `count` of `n` (Clopper and Pearson 1934).

    Never covers less than it says: 0 of 330 gives an upper end of 1.1%. n = 0 gives
    (0, 1): nothing is known.
    """
    if n == 0:
        return (0.0, 1.0)
    found = stats.binomtest(count, n).proportion_ci(confidence, method="exact")
    return (float(found.low), float(found.high))
