"""Envelope: bytes signed with ed25519 and checked again, as DSSE 1.0 has it.

https://github.com/secure-systems-lab/dsse: what is signed is the payload with its type,
so that nobody reads one kind of thing as another.
"""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from detectors.errors import InputError, TunegateError

MEDIA_TYPE: Final = "application/vnd.dsse.envelope.v1+json"
PEM: Final = "-----BEGIN"
UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm)
"""No key, or none that we know; TypeError: one that asks for a password."""


class Unverified(TunegateError):
    """An envelope that nobody signed, that another key signed, or that was changed."""


class Signer:
    """Signs with one ed25519 key; the same bytes get the same signature."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key()

    @property
    def id(self) -> str:
        """The key's id: a hint which public key to verify with, and no more."""
        return key_id(self.public)

    def sign(self, payload_type: str, body: bytes) -> bytes:
        """Return the signature of a payload of that type."""
        return self._key.sign(pae(payload_type, body))


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, its type, and what was signed by whom: (key id, signature)."""

    payload_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    def to_json(self) -> bytes:
        """Return the JSON envelope; without signatures their list is empty."""
        signed = [{"keyid": key, "sig": _base64(each)} for key, each in self.signatures]
        plain = {
            "payload": _base64(self.payload),
            "payloadType": self.payload_type,
            "signatures": signed,
        }
        return (json.dumps(plain) + "\n").encode("ascii")


def pae(payload_type: str, body: bytes) -> bytes:
    """Return what is signed: the spec's Pre-Authentication Encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def seal(payload_type: str, body: bytes, signer: Signer | None) -> Envelope:
    """Return a payload in its envelope, unsigned where there is no signer."""
    if signer is None:
        return Envelope(payload_type, body, ())
    signed = (signer.id, signer.sign(payload_type, body))
    return Envelope(payload_type, body, (signed,))


def verify(content: bytes, public: Ed25519PublicKey, payload_type: str) -> bytes:
    """Return the payload of a JSON envelope that the key signed; else Unverified.

    Key ids are hints, so none is trusted: each signature is tried. The payload is not
    looked at before one is right.
    """
    found = read_envelope(content)
    if not found.signatures:
        raise Unverified("it is not signed, so it proves nothing")
    signed = pae(found.payload_type, found.payload)
    if not any(_right(public, each, signed) for _, each in found.signatures):
        raise Unverified("the key did not sign this, or it was changed since")
    if found.payload_type != payload_type:
        raise Unverified(f"what is signed is not of the type {payload_type}")
    return found.payload


def read_envelope(content: bytes) -> Envelope:
    """Read a JSON envelope, unchecked; Unverified where it is none."""
    try:
        plain: Any = json.loads(content)
        signatures = tuple(
            (str(each.get("keyid", "")), _bytes(each["sig"]))
            for each in plain.get("signatures", [])
        )
        kind = plain["payloadType"]
        return Envelope(kind.encode().decode(), _bytes(plain["payload"]), signatures)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unverified("it is not a DSSE envelope in JSON") from error


def load_signer(text: str) -> Signer | None:
    """Return the signer of the setting's key, PEM or a seed in base64; None without.

    InputError where it is neither.
    """
    text = text.strip()
    if not text:
        return None
    try:
        if not text.startswith(PEM):
            return Signer(Ed25519PrivateKey.from_private_bytes(_bytes(text)))
        key = load_pem_private_key(text.encode(), password=None)
    except UNREADABLE as error:
        raise _no_key() from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key()
    return Signer(key)


def load_public(pem: bytes) -> Ed25519PublicKey:
    """Return the public key in a PEM file; InputError where it holds none."""
    try:
        key = load_pem_public_key(pem)
    except UNREADABLE as error:
        raise _no_public_key() from error
    if not isinstance(key, Ed25519PublicKey):
        raise _no_public_key()
    return key


def public_pem(public: Ed25519PublicKey) -> str:
    """Return a public key as PEM."""
    made = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return made.decode("ascii")


def key_id(public: Ed25519PublicKey) -> str:
    """Return a key's id: hex sha256 of the public key as DER."""
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _right(public: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        public.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _bytes(text: str) -> bytes:
    """Decode base64 of either alphabet, as the spec demands; ValueError if it is none.

    A text that is not ASCII is none, either.
    """
    plain = text.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _no_key() -> InputError:
    return InputError(
        "setting TUNEGATE_CERTIFICATE_KEY: expected an ed25519 private key, PEM "
        "(openssl genpkey -algorithm ed25519) or 32 random bytes in base64 "
        "(openssl rand -base64 32)"
    )


def _no_public_key() -> InputError:
    return InputError(
        "expected an ed25519 public key as PEM (tunegate certificate key prints it)"
    )
