"""What the buffers of an Arrow file unpack to, told before any is unpacked.

Each compressed buffer begins with its size once unpacked: Arrow allocates that much.
Layouts: Message.fbs and File.fbs of the Arrow columnar format, as FlatBuffers.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO, Final

import pyarrow as pa

from detectors.reading.bytestream import stat_size
from detectors.reading.limits import Limits, check_unpacked_size

ARROW_FILE: Final = b"ARROW1"
_TAIL_BYTES: Final = 4 + len(ARROW_FILE)
_BLOCK_BYTES: Final = 24
_HEADER, _BATCH_OF_DICTIONARY = 2, 1
_BUFFERS, _COMPRESSION = 2, 3
_DICTIONARIES, _RECORD_BATCHES = 2, 3
_KINDS: Final = {"record batch", "dictionary"}


def check_unpacked(file: BinaryIO, limits: Limits) -> None:
    """Raise DatasetError where a batch unpacks like a bomb; `file` is left at 0.

    ValueError where the layout cannot be read, or the batches are larger than the file.
    """
    file.seek(0)
    try:
        is_file = file.read(len(ARROW_FILE)) == ARROW_FILE
        left = stat_size(file)
        for message in _blocks(file) if is_file else _stream(file):
            left -= message.metadata.size + len(message.body)
            if left < 0:
                raise ValueError("an Arrow footer that names batches twice")
            if message.type in _KINDS:
                packed, plain = len(message.body), _unpacked(message)
                check_unpacked_size("batch", packed, plain, limits)
    except (struct.error, EOFError):
        raise ValueError("an Arrow message that cannot be read") from None
    finally:
        file.seek(0)


def _stream(file: BinaryIO) -> Iterator[pa.Message]:
    """Yield messages up to where the stream breaks off, as reading its rows will."""
    file.seek(0)
    with suppress(pa.ArrowException, OSError, EOFError):
        yield from pa.ipc.MessageReader.open_stream(file)


def _blocks(file: BinaryIO) -> Iterator[pa.Message]:
    """Yield the messages that the footer of a file names."""
    end = file.seek(0, 2) - _TAIL_BYTES
    file.seek(max(0, end))
    (size,) = struct.unpack_from("<i", file.read(_TAIL_BYTES))
    file.seek(max(0, end - size))
    footer = file.read(max(0, size))
    root, opened = _follow(footer, 0), pa.PythonFile(file, "r")
    for field in (_DICTIONARIES, _RECORD_BATCHES):
        for at in _vector(footer, _field(footer, root, field), _BLOCK_BYTES):
            (offset,) = struct.unpack_from("<q", footer, at)
            opened.seek(offset)
            yield pa.ipc.read_message(opened)


def _unpacked(message: pa.Message) -> int:
    """Sum what the compressed buffers of a batch say of themselves."""
    data, body = message.metadata.to_pybytes(), memoryview(message.body)
    batch = _follow(data, _field(data, _follow(data, 0), _HEADER))
    if message.type == "dictionary":
        batch = _follow(data, _field(data, batch, _BATCH_OF_DICTIONARY))
    if not _field(data, batch, _COMPRESSION):
        return 0
    total = 0
    for at in _vector(data, _field(data, batch, _BUFFERS), 16):
        offset, length = struct.unpack_from("<qq", data, at)
        if length >= 8:
            (size,) = struct.unpack_from("<q", body, offset)
            total += max(0, size)  # -1: this one is not compressed
    return total


def _follow(data: bytes, at: int) -> int:
    """Return the place that an offset at `at` points to."""
    return int(at + struct.unpack_from("<I", data, at)[0])


def _field(data: bytes, table: int, index: int) -> int:
    """Return the place of a table's field, 0 where the table has none."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    slot = 4 + 2 * index
    if vtable < 0 or slot >= struct.unpack_from("<H", data, vtable)[0]:
        return 0
    offset = struct.unpack_from("<H", data, vtable + slot)[0]
    return int(table + offset) if offset else 0


def _vector(data: bytes, at: int, width: int) -> Iterator[int]:
    """Yield the places of a vector's structs; of a field that is 0, none."""
    if not at:
        return
    start = _follow(data, at)
    (length,) = struct.unpack_from("<I", data, start)
    for index in range(length):
        yield start + 4 + width * index
