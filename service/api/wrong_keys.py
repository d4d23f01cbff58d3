"""Wrong keys: an address that tries many of them is not listened to for a while."""

import hashlib
import ipaddress
from collections import OrderedDict
from typing import Final

from fastapi import Request

from service.api.errors_http import Problem
from service.api.rate_limit import RateLimit

REMEMBERED: Final = 1_000
"""Good keys whose holders are let through although their address tried wrong ones."""


class WrongKeys:
    """Counts wrong keys by address; `limit` a minute, 0: any number.

    Beyond it a key is refused unseen, which bounds guessing and what it costs the
    database. A key that was good a while ago is looked at nevertheless: many callers
    can share an address, and one of them must not lock out the others.
    """

    def __init__(self, limit: int) -> None:
        self._wrong = RateLimit(limit)
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def check(self, request: Request, key: str) -> None:
        """Raise the 429 where the address has tried too many wrong keys."""
        found = self._wrong.look(_address(request))
        if found is None or found.granted or _digest(key) in self._good:
            return
        said = "Too many wrong keys from this address: try again later."
        raise Problem(429, "too_many_wrong_keys", said, headers=found.retry())

    def wrong(self, request: Request) -> None:
        """Count a wrong key."""
        self._wrong.take(_address(request))

    def right(self, key: str) -> None:
        """Remember a good key, by its digest."""
        self._good[_digest(key)] = None
        self._good.move_to_end(_digest(key))
        if len(self._good) > REMEMBERED:
            self._good.popitem(last=False)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _address(request: Request) -> str:
    """Return whom to count: an IPv4 address, or the /64 that an IPv6 user has whole."""
    host = request.client.host if request.client else ""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((int(found), 64), strict=False))
