"""Sealing: objects encrypted before they leave this process, by AES-256-GCM in chunks.

A sealed object is a header (magic, key id, 7 random bytes) and chunks, each under a
nonce of its own: the random bytes, its number, and whether it is the last (STREAM of
Hoang, Reyhanitabar, Rogaway and Vizár, CRYPTO 2015). So it is written and read in
bounded memory, and a chunk changed, moved or cut off is an error. The header is
authenticated with every chunk.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from detectors.errors import InputError, TunegateError

MAGIC: Final = b"TGSEAL1\n"
ID_BYTES: Final = 8
SALT_BYTES: Final = 7
HEADER_BYTES: Final = len(MAGIC) + ID_BYTES + SALT_BYTES
CHUNK_BYTES: Final = 64 * 1024
TAG_BYTES: Final = 16
KEY_BYTES: Final = 32


class Unsealable(TunegateError):
    """A sealed object that no key of ours opens, or that was changed."""

    code = "unreadable_object"


class Seal:
    """Encrypts with the first of some keys, and decrypts with any of them.

    What is not sealed is read as it is: it was there before there was a key.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_id(key): AESGCM(key) for key in keys}
        self._first = _id(keys[0])

    def writer(self, target: IO[bytes]) -> "SealedWriter":
        """Return a file that encrypts what is written to it into another."""
        return SealedWriter(target, self._keys[self._first], self._first)

    def seal(self, content: bytes) -> bytes:
        """Return content encrypted."""
        made = _Cipher(self._keys[self._first], self._first, os.urandom(SALT_BYTES))
        parts = [content[at : at + CHUNK_BYTES] for at in _starts(len(content))]
        sealed = (
            made.seal(number, part, last=number == len(parts) - 1)
            for number, part in enumerate(parts)
        )
        return made.header + b"".join(sealed)

    def open(self, sealed: bytes) -> bytes:
        """Return content as it was; Unsealable where that cannot be."""
        return b"".join(self.opened(_blocks(sealed)))

    def opened(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Decrypt a stream of blocks of any size; Unsealable as `open`."""
        source = _Source(blocks)
        header = source.take(HEADER_BYTES)
        if not header.startswith(MAGIC):
            yield header
            yield from source.rest()
            return
        key_id = header[len(MAGIC) : len(MAGIC) + ID_BYTES]
        if key_id not in self._keys:
            raise Unsealable("an object is sealed with a key that is not set")
        cipher = _Cipher(self._keys[key_id], key_id, header[-SALT_BYTES:])
        number, part = 0, source.take(CHUNK_BYTES + TAG_BYTES)
        while True:
            following = source.take(CHUNK_BYTES + TAG_BYTES)
            yield cipher.open(number, part, last=not following)
            if not following:
                return
            number, part = number + 1, following


class SealedWriter:
    """A file that encrypts into another; `finish` writes the last chunk."""

    def __init__(self, target: IO[bytes], cipher: AESGCM, key_id: bytes) -> None:
        self._target = target
        self._cipher = _Cipher(cipher, key_id, os.urandom(SALT_BYTES))
        self._left = bytearray()
        self._number = 0
        target.write(self._cipher.header)

    def write(self, block: bytes) -> int:
        """Take some content."""
        self._left += block
        while len(self._left) > CHUNK_BYTES:  # a full one may still be the last
            self._put(bytes(self._left[:CHUNK_BYTES]), last=False)
            del self._left[:CHUNK_BYTES]
        return len(block)

    def finish(self) -> None:
        """Write what is left; without it the object cannot be opened."""
        self._put(bytes(self._left), last=True)

    def _put(self, part: bytes, *, last: bool) -> None:
        self._target.write(self._cipher.seal(self._number, part, last=last))
        self._number += 1


class _Cipher:
    def __init__(self, cipher: AESGCM, key_id: bytes, salt: bytes) -> None:
        self.header = MAGIC + key_id + salt
        self._cipher = cipher
        self._salt = salt

    def seal(self, number: int, part: bytes, *, last: bool) -> bytes:
        return self._cipher.encrypt(self._nonce(number, last), part, self.header)

    def open(self, number: int, part: bytes, *, last: bool) -> bytes:
        try:
            return self._cipher.decrypt(self._nonce(number, last), part, self.header)
        except (InvalidTag, ValueError) as error:
            raise Unsealable("a sealed object was changed or cut off") from error

    def _nonce(self, number: int, last: bool) -> bytes:
        return self._salt + number.to_bytes(4, "big") + bytes([last])


class _Source:
    """Blocks of any size, to be taken in pieces of a given one."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._held = bytearray()

    def take(self, size: int) -> bytes:
        """Return that many bytes, fewer at the end."""
        while len(self._held) < size:
            block = next(self._blocks, None)
            if block is None:
                break
            self._held += block
        part = bytes(self._held[:size])
        del self._held[:size]
        return part

    def rest(self) -> Iterator[bytes]:
        """Return all that is left, as it comes."""
        yield bytes(self._held)
        yield from self._blocks


def load_seal(keys: str) -> Seal | None:
    """Return the seal of the setting's keys, base64 by commas; None without any.

    InputError where one is no key.
    """
    found = [_key(each.strip()) for each in keys.split(",") if each.strip()]
    return Seal(found) if found else None


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _no_key() from error
    if len(key) != KEY_BYTES:
        raise _no_key()
    return key


def _no_key() -> InputError:
    return InputError(
        "setting TUNEGATE_ENCRYPTION_KEYS: expected 32 random bytes in base64 "
        "(openssl rand -base64 32)"
    )


def _id(key: bytes) -> bytes:
    return hashlib.sha256(b"tunegate key id" + key).digest()[:ID_BYTES]


def _starts(size: int) -> range:
    return range(0, max(size, 1), CHUNK_BYTES)


def _blocks(content: bytes) -> Iterator[bytes]:
    return (content[at : at + CHUNK_BYTES] for at in _starts(len(content)))
