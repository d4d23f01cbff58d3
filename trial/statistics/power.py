"""Power: what so many probes could have shown."""

from functools import lru_cache

from scipy import optimize, stats

from trial.statistics.paired import CONFIDENCE, paired_interval

POWER = 0.80


@lru_cache(maxsize=256)
def detectable_change(
    n: int, power: float = POWER, confidence: float = CONFIDENCE
) -> float:
    """Smallest true increase that n probes show (interval above 0) at `power`.

    Counts on no probe moving the other way, so it is the best case. 1.0 where even
    that would not do.
    """
    needed = next(
        (k for k in range(1, n + 1) if paired_interval(k, 0, n, confidence)[0] > 0),
        None,
    )
    if needed is None:
        return 1.0

    def shortfall(rate: float) -> float:
        return float(stats.binom.sf(needed - 1, n, rate)) - power

    return float(optimize.brentq(shortfall, 0.0, 1.0))
