"""Endpoint: an OpenAI-compatible server, how to reach it and how patiently."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from detectors.errors import InputError

if TYPE_CHECKING:  # the SDK takes a second to import: only who calls a provider pays
    from openai import AsyncOpenAI

OPENAI_URL: Final = "https://api.openai.com/v1"
MAX_ANSWER_BYTES: Final = 8 * 2**20
NO_KEY: Final = "none"
"""Sent where no key is set: else the SDK would take one from the environment."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to send, as whom, and how patiently.

    `attempts` counts tries of one request; waits double from `first_wait_seconds` to
    `longest_wait_seconds`, and a longer Retry-After than that ends the attempts.
    InputError where the address is not http(s) or holds a password, or where the key
    cannot be sent in a header.
    """

    base_url: str
    model: str
    api_key: str = field(default="", repr=False)
    timeout_seconds: float = 30.0
    connections: int = 4
    attempts: int = 4
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 60.0

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            secret = "@" in parts.netloc
            sound = parts.scheme in ("http", "https") and bool(parts.hostname)
            sound = sound and parts.port != 0  # asking raises where it is no number
        except ValueError:
            sound, secret = False, False
        if secret:
            raise InputError("moderation base URL: put the key in its own setting")
        if not sound:
            raise InputError("moderation base URL: expected http:// or https://")
        if not self.model:
            raise InputError("moderation model: name the model to ask")
        if not (self.api_key.isascii() and self.api_key.isprintable()):
            raise InputError("moderation API key: expected printable ASCII characters")

    @asynccontextmanager
    async def open(self) -> AsyncIterator["AsyncOpenAI"]:
        """Open a client that goes to this address alone and leaves retrying to us."""
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        # A redirect would hand the rows to an address nobody configured.
        http = DefaultAsyncHttpxClient(follow_redirects=False)
        client = AsyncOpenAI(
            api_key=self.api_key or NO_KEY,
            base_url=self.base_url,
            timeout=self.timeout_seconds,
            max_retries=0,
            http_client=http,
        )
        client.organization = client.project = client.admin_api_key = None
        async with client:
            yield client


class Unreadable(Exception):
    """The answer is not what the protocol promises; says how."""


class Bytes(Protocol):
    """A response as the SDK streams it."""

    def iter_bytes(self) -> AsyncIterator[bytes]:
        """Return the body piece by piece."""
        ...


async def read_json(response: Bytes) -> dict[str, Any]:
    """Read the body, bounded, as a JSON object; Unreadable where it is none."""
    body = bytearray()
    async for piece in response.iter_bytes():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise Unreadable(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("the answer is not JSON") from None
    if not isinstance(parsed, dict):
        raise Unreadable("the answer is not a JSON object")
    return parsed
