"""Outbound: requests to addresses that a customer chose, kept out of our own network.

A name is resolved once, every address that it has is looked at, and the connection goes
to the very address that was looked at: a name that resolves differently a moment later
(DNS rebinding) changes nothing. Clients do not follow redirects: who wants to looks at
each address on the way here.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx

from detectors.errors import InputError

NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
BLOCKED: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # metadata of one cloud; Python calls it global
            "168.63.129.16/32",  # the host of another, at a public address
            "64:ff9b:1::/48",  # NAT64 of a private network
        ),
    )
)
"""What `ipaddress` takes for public and that is not for us to call."""

MAX_URL_CHARS: Final = 2_000

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host name; OSError where it has none."""


class NoAddress(InputError):
    """The host of a URL has no address, or nobody answers who would know."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be called, and the address that it is called at."""

    url: httpx.URL
    address: str

    def request(
        self,
        client: httpx.Client | httpx.AsyncClient,
        method: str,
        *,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Request:
        """Return the request to that address; TLS and `Host` go by the name."""
        host = self.url.host
        named = {**(headers or {}), "Host": self.url.netloc.decode("ascii")}
        return client.build_request(
            method,
            self.url.copy_with(host=self.address),
            headers=named,
            content=content,
            extensions={"sni_hostname": host},
        )


def resolve_host(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]).split("%")[0] for each in found]


def read_address(host: str, port: int) -> Sequence[str]:
    """Return the address that a host is written as; OSError of a name. Asks nobody."""
    found = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)
    return [str(each[4][0]).split("%")[0] for each in found]


def check_url(
    url: str,
    *,
    private: bool = False,
    schemes: Sequence[str] = ("https",),
    resolve: Resolve = resolve_host,
) -> Target:
    """Return where a URL leads; InputError where we do not go there.

    NoAddress where its host has none, maybe just now. `private` lets addresses of our
    own network through, and plain HTTP with them: for tests, and for operators whose
    receivers are inside.
    """
    allowed = (*schemes, "http") if private else tuple(schemes)
    parsed = _parse(url, allowed)
    port = parsed.port or {"https": 443, "http": 80}[parsed.scheme]
    try:
        found = list(dict.fromkeys(resolve(parsed.host, port)))
    except (OSError, UnicodeError) as error:
        raise NoAddress("url: its host has no address") from error
    if not found:
        raise NoAddress("url: its host has no address")
    if not private and not all(map(is_public, found)):
        raise InputError("url: its host is not on the public internet")
    return Target(parsed, found[0])


def check_unasked(
    url: str, *, private: bool = False, schemes: Sequence[str] = ("https",)
) -> None:
    """Raise InputError as `check_url` where that needs no question to anyone.

    What a name leads to is looked at when it is called.
    """
    with suppress(NoAddress):
        check_url(url, private=private, schemes=schemes, resolve=read_address)


def _parse(url: str, schemes: Sequence[str]) -> httpx.URL:
    if len(url) > MAX_URL_CHARS or not url.isprintable() or not url.isascii():
        raise InputError(f"url: expected at most {MAX_URL_CHARS} printable ASCII marks")
    try:
        parsed, again = httpx.URL(url), urlsplit(url)
        same = (again.hostname or "") == parsed.host and again.port == parsed.port
    except (httpx.InvalidURL, ValueError) as error:
        raise InputError("url: not a valid URL") from error
    if parsed.scheme not in schemes:
        raise InputError(f"url: expected {' or '.join(schemes)}://")
    if not parsed.host or not same:  # two parsers that differ have been used to get in
        raise InputError("url: not a valid URL")
    if parsed.userinfo:
        raise InputError("url: names and passwords do not belong in a URL")
    return parsed


def is_public(address: str) -> bool:
    """Say whether an address is one of the public internet, also when wrapped."""
    try:
        found: Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found.teredo is not None:
            return False
        if found in NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    if any(found in network for network in BLOCKED):
        return False
    return found.is_global and not (found.is_multicast or found.is_reserved)
