"""How surely a phrase goes with unsafe replies: exact, and in closed form."""

from dataclasses import dataclass
from math import exp, lgamma, log, log10

NEGLIGIBLE = 1e-15


@dataclass(frozen=True)
class Table:
    """Units that carry a phrase, or do not, by the safety of their replies."""

    with_unsafe: int
    with_safe: int
    without_unsafe: int
    without_safe: int

    @property
    def share_with(self) -> float:
        """Share of unsafe replies where the phrase stands; 0 where it never does."""
        carriers = self.with_unsafe + self.with_safe
        return self.with_unsafe / carriers if carriers else 0.0

    @property
    def share_without(self) -> float:
        """Share of unsafe replies where the phrase does not stand."""
        others = self.without_unsafe + self.without_safe
        return self.without_unsafe / others if others else 0.0

    @property
    def log10_p(self) -> float:
        """Log10 of the one-sided p of Fisher's exact test (Fisher 1922)."""
        carriers = self.with_unsafe + self.with_safe
        unsafe = self.with_unsafe + self.without_unsafe
        total = carriers + self.without_unsafe + self.without_safe
        return log10_tail(self.with_unsafe, carriers, unsafe, total)


def log10_tail(found: int, drawn: int, marked: int, total: int) -> float:
    """Log10 P(at least `found` marked among `drawn` of `total`, `marked` of them)."""
    if found <= max(0, drawn + marked - total) or found * total <= drawn * marked:
        return 0.0
    first = (
        _log_choose(marked, found)
        + _log_choose(total - marked, drawn - found)
        - _log_choose(total, drawn)
    )
    term = tail = 1.0
    for k in range(found, min(drawn, marked)):
        left = total - marked - drawn + k + 1
        term *= (marked - k) * (drawn - k) / ((k + 1) * left)
        tail += term
        if term < NEGLIGIBLE * tail:
            break
    return min(0.0, first / log(10) + log10(tail))


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def adjusted(log10_p: float, tests: int) -> float:
    """Bonferroni: the p-value times the number of tests, at most 1."""
    return exp(min(0.0, log10_p + log10(max(tests, 1))) * log(10))
