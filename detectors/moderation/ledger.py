"""Budget and Ledger: what a provider may cost in one screening, and what it has."""

import time
from dataclasses import dataclass
from typing import Final

BYTES_PER_TOKEN: Final = 3
"""English has about 4 bytes a token, Chinese 3: this errs towards too many."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Most requests (each try counts), tokens sent and seconds of one screening."""

    requests: int = 10_000
    tokens: int = 10_000_000
    seconds: float = 600.0


class OverBudget(Exception):
    """The next request would cost more than is left; says which limit."""


class Ledger:
    """Counts what is spent; the clock runs from its making on."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._began = time.monotonic()
        self.requests = 0
        self.tokens = 0

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    @property
    def seconds_left(self) -> float:
        """Seconds that are left, never below 0."""
        return max(0.0, self._budget.seconds - self.seconds)

    def spend(self, tokens: int) -> None:
        """Pay for one request before it is sent; OverBudget where it cannot be."""
        if self.seconds_left <= 0.0:
            raise OverBudget(self.out_of_time)
        if self.requests >= self._budget.requests:
            limit = self._budget.requests
            raise OverBudget(f"over budget: {limit} requests are used up")
        if self.tokens + tokens > self._budget.tokens:
            limit = self._budget.tokens
            raise OverBudget(f"over budget: {limit} tokens would not suffice")
        self.requests += 1
        self.tokens += tokens

    @property
    def out_of_time(self) -> str:
        """The reason where the time ran out."""
        return f"over budget: {self._budget.seconds:g} seconds are over"


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text from its UTF-8 bytes, rather too high."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)
