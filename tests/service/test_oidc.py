import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from detectors.errors import InputError
from service.caller import SCOPES
from service.oidc import (
    KEEP_SECONDS,
    LEAST_SECONDS,
    MAX_TOKEN_CHARS,
    IdentityUnavailable,
    Tokens,
)
from service.settings import Settings, load_settings

ISSUER = "https://id.example.com/realm"
KEYS = {
    "a": rsa.generate_private_key(65_537, 2_048),
    "b": ec.generate_private_key(ec.SECP256R1()),
}
KINDS = {"a": "RS256", "b": "ES256"}


class Provider:
    """An identity provider: its documents, how often they were asked, and its clock."""

    def __init__(self) -> None:
        self.listed = ["a"]
        self.asked: list[str] = []
        self.down = False
        self.now = 1_000.0
        self.issuer = ISSUER
        self.extra: list[dict[str, Any]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if self.down:
            return httpx.Response(503)
        if request.url.path.endswith("openid-configuration"):
            found = {"issuer": self.issuer, "jwks_uri": f"{ISSUER}/keys"}
            return httpx.Response(200, json=found)
        return httpx.Response(
            200, json={"keys": [*map(public, self.listed), *self.extra]}
        )


def public(kid: str) -> dict[str, Any]:
    kind = jwt.algorithms.RSAAlgorithm if kid == "a" else jwt.algorithms.ECAlgorithm
    found = json.loads(kind.to_jwk(KEYS[kid].public_key()))
    return {**found, "kid": kid, "alg": KINDS[kid], "use": "sig"}


def token(kid: str = "a", header: dict[str, Any] | None = None, **claims: Any) -> str:
    """Return a good token, but for what is given."""
    said = {
        "iss": ISSUER,
        "aud": "tunegate",
        "sub": "someone@example.com",
        "exp": int(time.time()) + 600,
        "tenant": "acme",
        "scope": "openid submit read",
        **claims,
    }
    said = {name: value for name, value in said.items() if value is not None}
    head = {"kid": kid, **(header or {})}
    return jwt.encode(said, KEYS[kid], KINDS[kid], head)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def tokens(provider: Provider, tmp_path: Path) -> Callable[..., Tokens]:
    """Return a function that makes the verifier, its settings as given."""

    def make(**given: str) -> Tokens:
        settings = Settings(
            data_dir=tmp_path, oidc_issuer=ISSUER, oidc_audience="tunegate", **given
        )  # type: ignore[arg-type]
        transport = httpx.MockTransport(provider.answer)
        return Tokens(settings, transport=transport, clock=lambda: provider.now)

    return make


def test_a_token_speaks_for_its_tenant_within_its_scopes(tokens: Any) -> None:
    verifier = tokens()
    caller = verifier.find(token())
    assert (caller.tenant, caller.scopes) == ("acme", {"submit", "read"})
    assert caller.key.startswith("o:")
    assert len(caller.key) == 12
    assert caller == verifier.find(token(iat=1))
    assert caller.key != verifier.find(token(sub="another")).key
    assert verifier.find(token(scope=None)).scopes == frozenset()
    odd = [*SCOPES, 7, {"name": "read"}, ["read"], None]
    assert verifier.find(token(scope=odd)).scopes == set(SCOPES)
    assert verifier.find(token(scope={"read": True})).scopes == frozenset()


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://id.example.com/other"},
        {"iss": None},
        {"aud": "another service"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"nbf": int(time.time()) + 600},
        {"sub": None},
        {"tenant": None},
        {"tenant": "../acme"},
        {"tenant": "ACME"},
        {"tenant": ["acme"]},
    ],
)
def test_a_token_that_is_not_for_us_is_nobodys(tokens: Any, claims: Any) -> None:
    assert tokens().find(token(**claims)) is None


def test_no_signature_but_the_providers_counts(tokens: Any, provider: Provider) -> None:
    verifier, good = tokens(), token()
    head, body, signature = good.split(".")
    said = jwt.decode(good, options={"verify_signature": False})
    forged = [
        jwt.encode(said, None, "none", {"kid": "a"}),
        jwt.encode(said, public("a")["n"], "HS256", {"kid": "a"}),
        jwt.encode(said, KEYS["b"], "ES256", {"kid": "a"}),
        jwt.encode(said, KEYS["b"], "ES256", {"kid": "b"}),
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{body}.",
        f"{head}.{body[:-4]}.{signature}",
        "a.b.c",
        "..",
        "\ud800.a.b",
        good + "x" * MAX_TOKEN_CHARS,
    ]
    assert verifier.find(good) is not None
    for each in forged:
        assert verifier.find(each) is None, each


def test_a_shared_secret_among_the_keys_is_not_taken(
    tokens: Any, provider: Provider
) -> None:
    secret = {"kty": "oct", "kid": "s", "k": "c2VjcmV0" * 8, "alg": "HS256"}
    provider.extra = [
        secret,
        {"kty": "RSA", "kid": "broken"},
        {**public("b"), "use": "enc"},
    ]
    verifier = tokens()
    text = jwt.encode({"sub": "x"}, b"secret" * 8, "HS256", {"kid": "s"})
    assert verifier.find(text) is None
    assert verifier.find(token("b")) is None
    assert verifier.find(token()) is not None


def test_keys_are_fetched_anew_but_not_for_whoever_asks(
    tokens: Any, provider: Provider
) -> None:
    verifier = tokens(oidc_jwks_url=f"{ISSUER}/keys")
    assert verifier.find(token("b")) is None
    provider.listed = ["a", "b"]
    for _ in range(50):
        assert verifier.find(token("b")) is None
    assert len(provider.asked) == 1
    provider.now += LEAST_SECONDS + 1
    assert verifier.find(token("b")) is not None
    assert len(provider.asked) == 2
    provider.listed = ["b"]  # the other one is withdrawn
    provider.now += KEEP_SECONDS + 1
    assert verifier.find(token("a")) is None


def test_known_keys_outlive_the_provider(tokens: Any, provider: Provider) -> None:
    verifier = tokens()
    provider.down = True
    with pytest.raises(IdentityUnavailable):
        verifier.find(token())
    provider.down = False
    provider.now += LEAST_SECONDS + 1
    assert verifier.find(token()) is not None
    provider.down = True
    provider.now += KEEP_SECONDS + 1
    assert verifier.find(token()) is not None


def test_a_provider_that_is_down_is_not_asked_for_every_token(
    tokens: Any, provider: Provider
) -> None:
    verifier = tokens(oidc_jwks_url=f"{ISSUER}/keys")
    provider.down = True
    for _ in range(50):
        with pytest.raises(IdentityUnavailable):
            verifier.find(token())
    assert len(provider.asked) == 1
    provider.now += LEAST_SECONDS + 1
    with pytest.raises(IdentityUnavailable):
        verifier.find(token())
    assert len(provider.asked) == 2


def test_whoever_has_a_known_key_waits_for_no_fetch(
    tokens: Any, provider: Provider
) -> None:
    verifier = tokens(oidc_jwks_url=f"{ISSUER}/keys")
    assert verifier.find(token()) is not None
    provider.now += KEEP_SECONDS + 1
    with verifier._keys._lock:  # another thread fetches
        assert verifier.find(token()) is not None
    assert len(provider.asked) == 1


@pytest.mark.parametrize("listed", ["no object", 7])
def test_a_key_set_of_another_form_is_as_none(
    tokens: Any, provider: Provider, listed: Any
) -> None:
    provider.extra = [listed]
    with pytest.raises(IdentityUnavailable):
        tokens().find(token())


def test_a_provider_that_names_another_issuer_is_not_believed(
    tokens: Any, provider: Provider
) -> None:
    provider.issuer = "https://evil.example.com"
    with pytest.raises(IdentityUnavailable):
        tokens().find(token())


def test_claims_can_have_other_names(tokens: Any) -> None:
    verifier = tokens(
        oidc_tenant_claim="org", oidc_scope_claim="roles", oidc_scope_prefix="tunegate:"
    )
    said = {"tenant": None, "org": "acme", "roles": ["tunegate:admin", "submit"]}
    caller = verifier.find(token(**said))
    assert (caller.tenant, caller.scopes) == ("acme", {"admin"})


def test_a_provider_without_an_audience_is_no_setting() -> None:
    with pytest.raises(InputError, match="TUNEGATE_OIDC_AUDIENCE"):
        load_settings(oidc_issuer=ISSUER)
