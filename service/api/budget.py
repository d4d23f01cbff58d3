"""Budget: how many bytes of JSON bodies a process holds at once, so that memory is."""

from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio

from service.api.errors_http import Problem
from service.settings import Settings

WAIT_SECONDS: Final = 5.0
RETRY_SECONDS: Final = "5"
FREE_BYTES: Final = 64 * 1024
"""What the server itself holds of any body: so little is let in at once."""


@dataclass(eq=False)
class _Asked:
    tenant: str
    size: int
    granted: anyio.Event = field(default_factory=anyio.Event)


class Budget:
    """Bytes of bodies that are read, parsed or converted; for one event loop.

    `limit` is for all of them and `share` for those of one tenant; 0: any number. A
    body over either is let in alone. Room is given in the order in which it was asked
    for; a tenant beyond its share waits without holding up others.
    """

    def __init__(self, limit: int, share: int) -> None:
        self._limit = limit
        self._share = share
        self._used = 0
        self._held: Counter[str] = Counter()
        self._waiting: deque[_Asked] = deque()

    @asynccontextmanager
    async def room(self, tenant: str, size: int) -> AsyncIterator[None]:
        """Hold room for a body; 503 or 429 where there is none for a while."""
        if size <= FREE_BYTES:
            yield
            return
        asked = _Asked(tenant, min(size, self._limit or size, self._share or size))
        self._waiting.append(asked)
        self._grant()
        try:
            with anyio.move_on_after(WAIT_SECONDS):
                await asked.granted.wait()
            if not asked.granted.is_set():
                raise self._refusal(asked)
            yield
        finally:
            self._leave(asked)

    def _grant(self) -> None:
        """Let in whoever waits and fits."""
        for asked in tuple(self._waiting):
            if self._limit and self._used + asked.size > self._limit:
                return
            if self._over_share(asked):
                continue
            self._waiting.remove(asked)
            self._used += asked.size
            self._held[asked.tenant] += asked.size
            asked.granted.set()

    def _leave(self, asked: _Asked) -> None:
        if asked.granted.is_set():
            self._used -= asked.size
            self._held[asked.tenant] -= asked.size
            self._held += Counter()  # drops those at zero
        else:
            self._waiting.remove(asked)
        self._grant()

    def _over_share(self, asked: _Asked) -> bool:
        held = self._held[asked.tenant]
        return bool(self._share) and held + asked.size > self._share

    def _refusal(self, asked: _Asked) -> Problem:
        retry = {"Retry-After": RETRY_SECONDS}
        if self._over_share(asked):
            said = "As many bytes of yours are read as may be at once: wait for them."
            return Problem(429, "tenant_too_busy", said, headers=retry)
        said = "As many bytes of JSON are read as may be at once: try again shortly."
        return Problem(503, "too_many_bytes", said, headers=retry)


def make_budget(settings: Settings) -> Budget:
    """Return the budget of a process, half of it a tenant's where there are keys."""
    limit = settings.max_json_bytes_at_once
    return Budget(limit, 0 if settings.auth == "open" else (limit + 1) // 2)
