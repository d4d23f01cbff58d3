"""Asker: a model is asked about replies, within one budget for the whole trial."""

from collections.abc import Callable, Sequence
from typing import Final

from detectors.moderation.cache import MemoryCache
from detectors.moderation.dialect import Dialect
from detectors.moderation.endpoint import Endpoint
from detectors.moderation.ledger import Budget
from detectors.moderation.moderator import (
    Moderator,
    Subject,
    Usage,
    Verdict,
    add_usage,
)
from detectors.moderation.remote import RemoteModerator

DEFAULT_BUDGET: Final = Budget()


class Asker:
    """Asks moderators that `make` gives for what was spent so far; keeps the costs.

    `usage` adds up requests (each try counts), tokens (estimated) and seconds.
    """

    def __init__(self, make: Callable[[Usage], Moderator]) -> None:
        self._make = make
        self.usage = Usage()

    def ask(
        self, prompts: Sequence[str], replies: Sequence[str]
    ) -> list[Verdict | str]:
        """Return a verdict on each reply, or in words why there is none."""
        if not replies:
            return []
        pairs = zip(prompts, replies, strict=True)
        said = self._make(self.usage).moderate([Subject(p, r) for p, r in pairs])
        self.usage = add_usage((self.usage, said.usage))
        return [v or r for v, r in zip(said.verdicts, said.reasons, strict=True)]


def endpoint_asker(
    dialect: Dialect,
    endpoint: Endpoint,
    *,
    budget: Budget = DEFAULT_BUDGET,
) -> Asker:
    """Ask an OpenAI-compatible endpoint: tried again, cached, never over `budget`."""
    kept = MemoryCache()

    def make(spent: Usage) -> Moderator:
        left = Budget(
            requests=max(0, budget.requests - spent.requests),
            tokens=max(0, budget.tokens - spent.tokens),
            seconds=max(0.0, budget.seconds - spent.seconds),
        )
        return RemoteModerator(dialect, endpoint, budget=left, cache=kept)

    return Asker(make)
