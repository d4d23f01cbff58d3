"""The uploaded bytes: opened with care, decompressed in bounded steps."""

import hashlib
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import zstandard

from detectors.errors import DatasetError
from detectors.reading.limits import Limits

BLOCK_BYTES: Final = 64 * 1024
_INFLATE_STEP: Final = 256 * 1024
_ZSTD_STEP: Final = 1024
"""Compressed bytes a step: zstd has no output bound, and 4 bytes can give 128 KiB."""
_ZSTD_WINDOW: Final = 2**27
_MAX_MEMBERS: Final = 100_000
"""gzip members or zstd frames in a file: an empty one takes work and gives nothing."""

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_FOREIGN: Final = (
    (re.compile(rb"PK[\x03\x05]"), "a ZIP archive or spreadsheet"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "bzip2 data"),
    (re.compile(rb"\xfd7zXZ\x00"), "xz data"),
    (re.compile(rb"\x80[\x02-\x05]"), "a Python pickle, which is never opened"),
    (re.compile(rb"%PDF-"), "a PDF"),
    (re.compile(rb"SQLite format 3\x00"), "an SQLite database"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8"), "an image"),
    (re.compile(rb".{257}ustar", re.DOTALL), "a tar archive"),
    (re.compile(rb"\xff\xfe|\xfe\xff"), "UTF-16 text: save it as UTF-8"),
)


class StreamFault(Exception):
    """The bytes stop making sense at some point; what came before is sound.

    `code` is "truncated_file" or "corrupt_file". Never leaves the reader.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


@contextmanager
def opened(path: Path, limits: Limits, name: str) -> Iterator[BinaryIO]:
    """Open a regular, non-empty file within `max_bytes`; DatasetError by its name."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DatasetError(f"{name} is not a regular file; give one data file")
        file = path.open("rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise DatasetError(f"{name} cannot be opened: {reason}") from None
    with file:
        size = stat_size(file)
        if size == 0:
            raise DatasetError(f"{name} is empty; it must hold at least one row")
        if size > limits.max_bytes:
            raise DatasetError(
                f"{name} has {size} bytes, over the limit of {limits.max_bytes}; "
                "split it or raise max_bytes"
            )
        yield file


def stat_size(file: BinaryIO) -> int:
    """Return the size of an open file in bytes; the position returns to the start."""
    size = file.seek(0, 2)
    file.seek(0)
    return size


def sha256_of(file: BinaryIO) -> str:
    """Hex digest of the bytes as uploaded; the position returns to the start."""
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(BLOCK_BYTES):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


def compression_of(head: bytes) -> str:
    """Return "gzip", "zstd" or "": told by the first bytes, never by the name."""
    if head.startswith(_GZIP):
        return "gzip"
    return "zstd" if _ZSTD.match(head) else ""


def refuse_foreign(head: bytes) -> None:
    """DatasetError where the first bytes are those of a format that is not read."""
    for magic, name in _FOREIGN:
        if magic.match(head):
            raise DatasetError(f"the file is {name}; expected {ACCEPTED}")
    if compression_of(head):
        raise DatasetError("the file is compressed twice; decompress it once")


ACCEPTED: Final = "JSONL, a JSON array, CSV, Parquet or Arrow, plain or as gzip or zstd"


def content_blocks(file: BinaryIO, limits: Limits) -> Iterator[bytes]:
    """Blocks of the file, none empty, decompressed where it is gzip or zstd.

    StreamFault where compressed data ends early or is corrupt; DatasetError where it
    grows past `max_bytes` or `max_decompression_ratio`, or is in too many pieces.
    """
    file.seek(0)
    compression = compression_of(file.read(4))
    file.seek(0)
    source = _Source(file)
    if not compression:
        yield from source
        return
    decoder = _inflated if compression == "gzip" else _zstd_decoded
    produced = 0
    for block in decoder(source):
        produced += len(block)
        _check_growth(produced, source.consumed, limits)
        if block:
            yield block


class _Source:
    """Iterates over a file's blocks and counts the bytes handed out."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.consumed = 0

    def __iter__(self) -> Iterator[bytes]:
        while block := self._file.read(BLOCK_BYTES):
            self.consumed += len(block)
            yield block


def _check_growth(produced: int, consumed: int, limits: Limits) -> None:
    if produced > limits.max_bytes:
        raise DatasetError(
            f"the file decompresses to more than {limits.max_bytes} bytes; "
            "split it or raise max_bytes"
        )
    ratio = limits.max_decompression_ratio
    if produced > limits.free_bytes and produced > ratio * consumed:
        raise DatasetError(
            f"the file decompresses to more than {ratio:g} times its size, as a "
            "decompression bomb does; upload it uncompressed"
        )


class _Members:
    """Counts the pieces that a compressed file is made of."""

    def __init__(self) -> None:
        self._begun = 0

    def begin(self) -> None:
        """Count one more; DatasetError where they are too many."""
        self._begun += 1
        if self._begun > _MAX_MEMBERS:
            raise DatasetError(
                f"the file is compressed in more than {_MAX_MEMBERS:,} pieces; "
                "compress it as one"
            )


def _inflated(source: _Source) -> Iterator[bytes]:
    inflater, members = zlib.decompressobj(wbits=31), _Members()
    pending = b""
    try:
        for block in source:
            pending += block
            while pending:
                if inflater.eof:
                    pending = pending.lstrip(b"\0")  # padding between members is legal
                    if not pending:
                        break
                    members.begin()
                    inflater = zlib.decompressobj(wbits=31)
                yield inflater.decompress(pending, _INFLATE_STEP)
                done = inflater.eof
                pending = inflater.unused_data if done else inflater.unconsumed_tail
        while not inflater.eof and (rest := inflater.decompress(b"", _INFLATE_STEP)):
            yield rest
    except zlib.error as error:
        raise StreamFault("corrupt_file", f"gzip data is corrupt: {error}") from None
    if not inflater.eof:
        raise StreamFault("truncated_file", "gzip data ends early")


def _zstd_decoded(source: _Source) -> Iterator[bytes]:
    new: Callable[[], zstandard.ZstdDecompressionObj] = zstandard.ZstdDecompressor(
        max_window_size=_ZSTD_WINDOW
    ).decompressobj
    frame, members = new(), _Members()
    try:
        for block in source:
            for start in range(0, len(block), _ZSTD_STEP):
                pending = block[start : start + _ZSTD_STEP]
                while pending:
                    if frame.eof:
                        members.begin()
                        frame = new()
                    yield frame.decompress(pending)
                    pending = frame.unused_data if frame.eof else b""
    except zstandard.ZstdError as error:
        raise StreamFault("corrupt_file", f"zstd data is corrupt: {error}") from None
    if not frame.eof:
        raise StreamFault("truncated_file", "zstd data ends early")
