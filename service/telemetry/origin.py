"""Origin: on whose account something is done now, for logs, and for what is queued."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

REQUEST_ID: Final = "request_id"

Origin = Mapping[str, str]
"""`request_id`, `screening_id`, and the W3C `traceparent` of what asked for it."""

_ORIGIN: Final[ContextVar[Origin]] = ContextVar("origin")


def origin() -> Origin:
    """Return what is known in this thread or task; empty where nothing is."""
    return _ORIGIN.get({})


@contextmanager
def originating(**known: str) -> Iterator[None]:
    """Add to what is known, until the block ends."""
    token = _ORIGIN.set({**origin(), **known})
    try:
        yield
    finally:
        _ORIGIN.reset(token)
