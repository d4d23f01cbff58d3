"""Compressed data, unpacked no further than it has to be read."""

import zlib
from typing import Final

MOST_UNPACKED: Final = 64 * 2**10
"""Bytes of a block that are unpacked: a small one may stand for any number."""
_GZIP: Final = b"\x1f\x8b"
_EITHER: Final = 32 + zlib.MAX_WBITS


def unpacked(data: bytes, most: int) -> bytes | None:
    """Return `most` bytes of what zlib or gzip data holds; None for other data."""
    if most <= 0 or not (data.startswith(_GZIP) or _is_zlib(data)):
        return None
    try:
        return zlib.decompressobj(_EITHER).decompress(data, most)
    except zlib.error:
        return None


def _is_zlib(data: bytes) -> bool:
    """Say whether data opens as RFC 1950 has it: deflate, and a sum that 31 divides."""
    return data[:1] != b"" and data[0] & 15 == 8 and not int.from_bytes(data[:2]) % 31
