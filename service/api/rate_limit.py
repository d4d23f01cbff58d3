"""Rate limit: how many requests a tenant may make of one API process a minute."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

WINDOW_SECONDS: Final = 60.0


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
        if not self.granted:
            found["Retry-After"] = str(max(1, math.ceil(self.wait_seconds)))
        return found


class RateLimit:
    """A bucket of tokens a tenant, refilled evenly over a minute; `limit` 0: none."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, tenant: str) -> Allowance | None:
        """Take a token of a tenant's; None where there is no limit."""
        if not self._limit:
            return None
        rate = self._limit / WINDOW_SECONDS
        with self._lock:
            now = self._clock()
            tokens, at = self._buckets.get(tenant, (float(self._limit), now))
            tokens = min(float(self._limit), tokens + (now - at) * rate)
            granted = tokens >= 1.0
            tokens -= 1.0 if granted else 0.0
            self._buckets[tenant] = (tokens, now)
        wait = 0.0 if tokens >= 1.0 else (1.0 - tokens) / rate
        full = (self._limit - tokens) / rate
        return Allowance(granted, self._limit, int(tokens), wait, full)
