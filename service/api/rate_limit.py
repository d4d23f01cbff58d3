"""Rate limit: how often a tenant or an address may do something a minute, here."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

WINDOW_SECONDS: Final = 60.0
MAX_NAMES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a request found: whether it may pass, and what is left after it.

    `wait_seconds` is when the next one may pass, `full_seconds` when all may again.
    """

    granted: bool
    limit: int
    left: int
    wait_seconds: float
    full_seconds: float

    def headers(self) -> dict[str, str]:
        """Return the fields of draft-ietf-httpapi-ratelimit-headers."""
        reset = math.ceil(self.full_seconds if self.granted else self.wait_seconds)
        policy = f'"tenant";q={self.limit};w={WINDOW_SECONDS:.0f}'
        found = {
            "RateLimit-Policy": policy,
            "RateLimit": f'"tenant";r={self.left};t={reset}',
        }
        return found if self.granted else {**found, **self.retry()}

    def retry(self) -> dict[str, str]:
        """Return the header that says when to come again."""
        return {"Retry-After": str(max(1, math.ceil(self.wait_seconds)))}


class RateLimit:
    """A bucket of tokens a name, refilled evenly over a minute; `limit` 0: none.

    A name is a tenant or an address. Of the names the last `MAX_NAMES` are known.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> Allowance | None:
        """Take a token of a name's; None where there is no limit."""
        return self._ask(name, 1.0)

    def look(self, name: str) -> Allowance | None:
        """Say whether a token could be taken; None where there is no limit."""
        return self._ask(name, 0.0)

    def _ask(self, name: str, cost: float) -> Allowance | None:
        if not self._limit:
            return None
        rate = self._limit / WINDOW_SECONDS
        with self._lock:
            now = self._clock()
            tokens, at = self._buckets.get(name, (float(self._limit), now))
            tokens = min(float(self._limit), tokens + (now - at) * rate)
            granted = tokens >= 1.0
            tokens -= cost if granted else 0.0
            if cost:
                self._keep(name, (tokens, now))
        wait = 0.0 if tokens >= 1.0 else (1.0 - tokens) / rate
        full = (self._limit - tokens) / rate
        return Allowance(granted, self._limit, int(tokens), wait, full)

    def _keep(self, name: str, bucket: tuple[float, float]) -> None:
        self._buckets[name] = bucket
        self._buckets.move_to_end(name)
        if len(self._buckets) > MAX_NAMES:
            self._buckets.popitem(last=False)
