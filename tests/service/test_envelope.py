import base64
import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from detectors.errors import InputError
from service.envelope import (
    Signer,
    Unverified,
    key_id,
    load_public,
    load_signer,
    pae,
    public_pem,
    seal,
    verify,
)

KIND = "application/vnd.in-toto+json"
BODY = b'{"_type": "x"}'
SEED = base64.b64encode(bytes(range(32))).decode()


def signer(number: int = 1) -> Signer:
    return Signer(ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)))


def pem(
    key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, password: bytes = b""
) -> str:
    locked: KeySerializationEncryption = NoEncryption()
    if password:
        locked = BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked).decode()


def test_what_is_signed_is_the_published_example_of_the_spec() -> None:
    """The example of DSSE's protocol.md, with its signature: ECDSA over P-256."""
    signed = pae("http://example.com/HelloWorld", b"hello world")
    assert signed == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    x = 46950820868899156662930047687818585632848591499744589407958293238635476079160
    y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
    published = base64.b64decode(
        "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJ"
        "PcIAriEGAHTVeCUjW2JIZA=="
    )
    r, s = (int.from_bytes(part) for part in (published[:32], published[32:]))
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))


def test_lengths_are_counted_in_bytes() -> None:
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_what_was_signed_is_verified_by_its_key_alone() -> None:
    made = seal(KIND, BODY, signer()).to_json()
    assert seal(KIND, BODY, signer()).to_json() == made
    assert verify(made, signer().public, KIND) == BODY
    [said] = json.loads(made)["signatures"]
    assert said["keyid"] == key_id(signer().public) == signer().id
    with pytest.raises(Unverified, match="did not sign"):
        verify(made, signer(2).public, KIND)


def test_a_changed_byte_fails_verification() -> None:
    whole = json.loads(seal(KIND, BODY, signer()).to_json())
    payload = base64.b64decode(whole["payload"])
    signature = base64.b64decode(whole["signatures"][0]["sig"])

    def changed(content: bytes, place: int) -> str:
        parts = bytearray(content)
        parts[place] ^= 1
        return base64.b64encode(parts).decode()

    wrong = [{**whole, "payload": changed(payload, n)} for n in range(len(payload))]
    for place in range(len(signature)):
        entry = {**whole["signatures"][0], "sig": changed(signature, place)}
        wrong.append({**whole, "signatures": [entry]})
    wrong.append({**whole, "payloadType": KIND + " "})
    for each in wrong:
        with pytest.raises(Unverified, match="did not sign"):
            verify(json.dumps(each).encode(), signer().public, KIND)


def test_what_nobody_signed_is_not_verified() -> None:
    made = seal(KIND, BODY, None).to_json()
    assert json.loads(made)["signatures"] == []
    with pytest.raises(Unverified, match="not signed"):
        verify(made, signer().public, KIND)


def test_a_payload_of_another_type_is_refused_though_signed() -> None:
    made = seal("text/plain", BODY, signer()).to_json()
    with pytest.raises(Unverified, match="not of the type"):
        verify(made, signer().public, KIND)


def test_one_right_signature_among_others_is_enough_whatever_the_key_ids_say() -> None:
    whole = json.loads(seal(KIND, BODY, signer()).to_json())
    right = whole["signatures"][0]["sig"]
    other = json.loads(seal(KIND, BODY, signer(2)).to_json())["signatures"][0]
    whole["signatures"] = [other, {"keyid": other["keyid"], "sig": right}]
    assert verify(json.dumps(whole).encode(), signer().public, KIND) == BODY
    whole["signatures"] = [other, {"sig": right}]
    assert verify(json.dumps(whole).encode(), signer().public, KIND) == BODY


def test_base64_of_either_alphabet_is_read() -> None:
    body = b"\xfb\xff\xbf\x3e\x3f"
    plain = seal(KIND, body, signer()).to_json().decode()
    whole = json.loads(plain)
    assert "+" in whole["payload"]
    whole["payload"] = whole["payload"].replace("+", "-").replace("/", "_")
    sig = whole["signatures"][0]["sig"].replace("+", "-").replace("/", "_")
    whole["signatures"][0]["sig"] = sig
    assert verify(json.dumps(whole).encode(), signer().public, KIND) == body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"payload": 1, "payloadType": "a"}',
        b'{"payload": "", "payloadType": 1, "signatures": []}',
        b'{"payload": "", "payloadType": "\\ud800", "signatures": []}',
        b'{"payload": "?", "payloadType": "a", "signatures": []}',
        b'{"payload": "", "payloadType": "a", "signatures": null}',
        b'{"payload": "", "payloadType": "a", "signatures": [{}]}',
        b'{"payload": "", "payloadType": "a", "signatures": [{"sig": "\\u00e9"}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_envelope_is_not_verified(content: bytes) -> None:
    with pytest.raises(Unverified, match="not a DSSE envelope"):
        verify(content, signer().public, KIND)


def test_a_key_is_pem_or_a_seed_in_base64() -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    made = [load_signer(f" {text}\n") for text in (SEED, pem(key))]
    assert [each.id for each in made if each] == [key_id(key.public_key())] * 2
    assert load_signer(" ") is None
    public = load_public(public_pem(key.public_key()).encode())
    assert key_id(public) == key_id(key.public_key())


WRONG_KEYS: list[Callable[[], str]] = [
    lambda: "nonsense",
    lambda: base64.b64encode(b"short").decode(),
    lambda: "-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----",
    lambda: pem(rsa.generate_private_key(65537, 2048)),
    lambda: pem(ed25519.Ed25519PrivateKey.generate(), b"a password"),
    lambda: public_pem(signer().public),
]


@pytest.mark.parametrize("make", WRONG_KEYS)
def test_what_is_no_key_is_named_and_not_repeated(make: Callable[[], str]) -> None:
    text = make()
    with pytest.raises(InputError, match="TUNEGATE_CERTIFICATE_KEY") as caught:
        load_signer(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"x", pem(ed25519.Ed25519PrivateKey.generate()).encode()]
)
def test_what_is_no_public_key_is_named(content: bytes) -> None:
    with pytest.raises(InputError, match="public key"):
        load_public(content)
