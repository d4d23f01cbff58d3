"""OpenID Connect: tokens of the operator's own identity provider, beside our keys.

A token counts where its provider signed it for this service and it has not run out
(RFC 7519, RFC 9068). Which tenant it speaks for and what it may do, its claims say. The
provider's public keys are fetched when a token names one that is not known, and at most
every `LEAST_SECONDS`, whatever is sent and whether or not it answers.
"""

import hashlib
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

from detectors.errors import InputError
from service.caller import SCOPES, Caller, Scope
from service.settings import Settings
from service.storage.keys import TENANT

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
"""Signatures with a private key alone: a shared secret would be in our settings."""

KINDS: Final = ("RSA", "EC", "OKP")
REQUIRED: Final = ["exp", "iss", "aud", "sub"]
LEEWAY_SECONDS: Final = 30
LEAST_SECONDS: Final = 30.0
KEEP_SECONDS: Final = 3_600.0
FETCH_SECONDS: Final = 5.0
MAX_TOKEN_CHARS: Final = 8_192
MAX_ANSWER_BYTES: Final = 1_000_000


class IdentityUnavailable(Exception):
    """The identity provider's keys could not be fetched, and none are known."""


class Tokens:
    """Turns tokens of the provider that the settings name into callers.

    Safe to use from several threads. `transport` and `clock` replace the network and
    the time.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            import jwt
        except ImportError as error:
            said = "OpenID Connect needs PyJWT: pip install 'tunegate[oidc]'"
            raise InputError(said) from error
        self._jwt = jwt
        self._settings = settings
        self._keys = ProviderKeys(settings, transport=transport, clock=clock)

    def find(self, text: str) -> Caller | None:
        """Return who a token speaks for; None where it is not good.

        IdentityUnavailable where the provider's keys cannot be had.
        """
        if len(text) > MAX_TOKEN_CHARS or not text.isascii():
            return None
        try:
            kid = self._jwt.get_unverified_header(text).get("kid")
            key = self._keys.find(kid)
            if key is None:
                return None
            claims = self._jwt.decode(
                text,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._settings.oidc_audience,
                issuer=self._settings.oidc_issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": REQUIRED},
            )
        except self._jwt.PyJWTError:
            return None
        return self._caller(claims)

    def _caller(self, claims: Mapping[str, Any]) -> Caller | None:
        tenant = claims.get(self._settings.oidc_tenant_claim)
        if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
            return None
        given = claims.get(self._settings.oidc_scope_claim, "")
        names = given.split() if isinstance(given, str) else given
        subject = hashlib.sha256(str(claims["sub"]).encode()).hexdigest()
        return Caller(tenant, f"o:{subject[:10]}", self._scopes(names))

    def _scopes(self, names: object) -> frozenset[Scope]:
        prefix = self._settings.oidc_scope_prefix
        given = names if isinstance(names, list | tuple) else ()
        known = {f"{prefix}{scope}": scope for scope in SCOPES}
        texts = (each for each in given if isinstance(each, str))
        return frozenset(known[each] for each in texts if each in known)


class ProviderKeys:
    """The provider's public keys by their id.

    One thread fetches them; only those wait for it whose key is not known.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        transport: httpx.BaseTransport | None,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}
        self._asked_at = self._fetched_at = -math.inf
        self._down = False

    def find(self, kid: object) -> Any | None:
        """Return a key; without an id the only one there is. None where unknown.

        IdentityUnavailable where the last fetch failed and no key is known.
        """
        missing = self._pick(kid) is None
        if self._wanted(kid) and self._lock.acquire(blocking=missing):
            try:  # another thread may have fetched, or tried to, just now
                if self._wanted(kid) and self._passed(self._asked_at, LEAST_SECONDS):
                    self._renew()
            finally:
                self._lock.release()
        found = self._pick(kid)
        if found is None and self._down:
            raise IdentityUnavailable
        return found

    def _wanted(self, kid: object) -> bool:
        old = self._passed(self._fetched_at, KEEP_SECONDS)
        return old or self._pick(kid) is None

    def _passed(self, at: float, seconds: float) -> bool:
        return self._clock() - at > seconds

    def _pick(self, kid: object) -> Any | None:
        known = self._known  # another thread may put others in their place
        if kid is None and len(known) == 1:
            return next(iter(known.values()))
        return known.get(kid) if isinstance(kid, str) else None

    def _renew(self) -> None:
        self._asked_at = self._clock()
        try:
            self._known = self._fetch()
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
            self._down = not self._known  # else the old ones stay good
            return
        self._down, self._fetched_at = False, self._clock()

    def _fetch(self) -> dict[str, Any]:
        import jwt

        with httpx.Client(
            timeout=FETCH_SECONDS, transport=self._transport, trust_env=False
        ) as client:
            url = self._settings.oidc_jwks_url or self._discover(client)
            listed = _json(client, url)["keys"]
        found = {}
        for each in listed:
            if each.get("kty") in KINDS and each.get("use", "sig") == "sig":
                try:
                    found[str(each.get("kid", ""))] = jwt.PyJWK(each)
                except jwt.PyJWTError:  # of a kind that we do not take
                    continue
        return found

    def _discover(self, client: httpx.Client) -> str:
        issuer = self._settings.oidc_issuer
        path = "/.well-known/openid-configuration"
        found = _json(client, issuer.rstrip("/") + path)
        if found["issuer"] != issuer:
            raise ValueError("the provider names another issuer")
        return str(found["jwks_uri"])


def _json(client: httpx.Client, url: str) -> dict[str, Any]:
    answer = client.get(url)
    answer.raise_for_status()
    if len(answer.content) > MAX_ANSWER_BYTES:
        raise ValueError("the provider's answer is too long")
    found: dict[str, Any] = answer.json()
    return found
