"""Which format a file has, told by its content, and the rows in it."""

import re
from collections.abc import Iterator
from itertools import chain
from tempfile import TemporaryFile
from typing import BinaryIO, Final

from detectors.dataset import BadLine
from detectors.errors import DatasetError
from detectors.reading.arrowsize import ARROW_FILE
from detectors.reading.bytestream import (
    StreamFault,
    compression_of,
    content_blocks,
    refuse_foreign,
)
from detectors.reading.columnar import ARROW_STREAM, PARQUET, columnar_records
from detectors.reading.csvtable import DELIMITERS, csv_records, split_header
from detectors.reading.fault import shown
from detectors.reading.jsonarray import json_array_records
from detectors.reading.jsonlines import jsonl_records
from detectors.reading.limits import Limits
from detectors.reading.record import Record
from detectors.reading.rowshape import MARKERS

_HEAD_BYTES: Final = 64 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_COLUMN_NAME: Final = re.compile(r"[A-Za-z_][\w .-]{0,39}")


def records(file: BinaryIO, limits: Limits) -> Iterator[Record | BadLine]:
    """Yield every row of an open file as a Record or a BadLine.

    DatasetError where the file as a whole is none of the accepted formats or goes over
    a limit.
    """
    head, blocks = _peeked(content_blocks(file, limits))
    refuse_foreign(head)
    if head.startswith((PARQUET, ARROW_FILE, ARROW_STREAM)):
        return _table(file, blocks, limits)
    bom = len(_BOM) if head.startswith(_BOM) else 0
    blocks = _without_first(blocks, bom)
    first = _first_line(head[bom:])
    if first.startswith("["):
        return json_array_records(blocks, limits)
    if first.rstrip() == "{":
        raise DatasetError(
            "the file is one JSON object over several lines; write its rows as a JSON "
            "array, or as JSONL with one row a line"
        )
    if delimiter := _csv_delimiter(first):
        return csv_records(blocks, delimiter, limits)
    return jsonl_records(blocks, limits)


def _peeked(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, and all blocks again; a fault waits for its turn."""
    taken: list[bytes] = []
    size = 0
    fault: StreamFault | None = None
    try:
        while size < _HEAD_BYTES:
            block = next(blocks, None)
            if block is None:
                break
            taken.append(block)
            size += len(block)
    except StreamFault as error:
        fault = error
    rest = _raising(fault) if fault else blocks
    return b"".join(taken), chain(taken, rest)


def _raising(fault: StreamFault) -> Iterator[bytes]:
    raise fault
    yield b""


def _without_first(blocks: Iterator[bytes], count: int) -> Iterator[bytes]:
    for block in blocks:
        yield block[count:]
        count = max(0, count - len(block))


def _table(
    file: BinaryIO, blocks: Iterator[bytes], limits: Limits
) -> Iterator[Record | BadLine]:
    """Read a table, which needs to be seekable: first written out where compressed."""
    file.seek(0)
    if not compression_of(file.read(4)):
        file.seek(0)
        yield from columnar_records(file, limits)
        return
    with TemporaryFile() as plain:
        try:
            for block in blocks:
                plain.write(block)
        except StreamFault as fault:
            raise DatasetError(f"the table cannot be read: {fault.detail}") from None
        plain.seek(0)
        yield from columnar_records(plain, limits)


def _first_line(head: bytes) -> str:
    """Return the first line that is not blank, or as much of it as the head holds."""
    line, _, _ = head.lstrip().partition(b"\n")
    return line.decode(errors="replace")


def _csv_delimiter(first: str) -> str:
    """Return the delimiter of a CSV header that names a known shape, else ""."""
    if first.startswith("{"):
        return ""
    for delimiter in DELIMITERS:
        columns = split_header(first, delimiter)
        if set(columns) & MARKERS.keys():
            return delimiter
    for delimiter in DELIMITERS:
        columns = split_header(first, delimiter)
        if len(columns) > 1 and all(map(_COLUMN_NAME.fullmatch, columns)):
            found = ", ".join(shown(name) for name in columns[:8])
            raise DatasetError(
                f"the first line reads like a CSV header ({found}), but no row shape "
                "has these columns; name them prompt and completion, instruction and "
                "output, messages, conversations, contents or text"
            )
    return ""
