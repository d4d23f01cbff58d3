"""A compressed Arrow table is refused before it unpacks to more than it may."""

import io
import struct
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pytest

from detectors.dataset import BadLine
from detectors.errors import DatasetError
from detectors.reading.arrowsize import check_unpacked
from detectors.reading.columnar import columnar_records
from detectors.reading.limits import Limits
from detectors.reading.record import Record

LIMITS = Limits(free_bytes=10_000)


def written(
    rows: list[str], codec: str | None, opener: Any, dictionary: bool = False
) -> io.BytesIO:
    column = pa.array(rows)
    table = pa.table({"text": column.dictionary_encode() if dictionary else column})
    file = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with opener(file, table.schema, options=options) as writer:
        writer.write_table(table)
    file.seek(0)
    return file


BOTH = pytest.mark.parametrize("opener", [pa.ipc.new_file, pa.ipc.new_stream])


@BOTH
@pytest.mark.parametrize("dictionary", [False, True])
@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_a_bomb_is_refused(codec: str, dictionary: bool, opener: Any) -> None:
    bomb = written(["a" * 10_000_000], codec, opener, dictionary)
    with pytest.raises(DatasetError, match="write it uncompressed"):
        check_unpacked(bomb, LIMITS)


@BOTH
def test_no_byte_of_a_bomb_is_unpacked(opener: Any) -> None:
    bomb = written(["a" * 50_000_000], "zstd", opener)
    before = pa.total_allocated_bytes()
    pool = pa.default_memory_pool()
    with pytest.raises(DatasetError):
        list(columnar_records(bomb, LIMITS))
    assert pool.bytes_allocated() - before < 1_000_000


@BOTH
@pytest.mark.parametrize("codec", [None, "lz4", "zstd"])
def test_ordinary_tables_are_read(codec: str | None, opener: Any) -> None:
    rows = [f"A row of text, the {n}th." for n in range(3_000)]
    file = written(rows, codec, opener)
    check_unpacked(file, LIMITS)
    assert file.tell() == 0
    found = list(columnar_records(file, LIMITS))
    assert [getattr(each, "value", None) for each in found] == [
        {"text": row} for row in rows
    ]


@BOTH
def test_a_table_cut_anywhere_is_an_error_in_words(opener: Any) -> None:
    whole = written(["some text"] * 50, "zstd", opener).getvalue()
    for end in range(6, len(whole), 7):
        with suppress(DatasetError):
            found = list(columnar_records(io.BytesIO(whole[:end]), LIMITS))
            assert len(found) <= 51
            assert all(isinstance(each, (Record, BadLine)) for each in found)


@BOTH
def test_bytes_changed_anywhere_end_in_rows_or_words(opener: Any) -> None:
    whole = written(["some text"] * 50, "lz4", opener).getvalue()
    for place in range(8, len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        with suppress(DatasetError):
            found = list(columnar_records(io.BytesIO(bytes(changed)), LIMITS))
            assert all(isinstance(each, (Record, BadLine)) for each in found)


def test_the_rows_before_a_break_are_read() -> None:
    column = pa.table({"text": [f"Row {n}." for n in range(100)]})
    file = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(file, column.schema, options=options) as writer:
        writer.write_table(column)
        writer.write_table(column)
    broken = io.BytesIO(file.getvalue()[:-200])
    found = list(columnar_records(broken, LIMITS))
    assert len(found) == 101
    assert isinstance(found[-1], BadLine)


def _repeated(file: io.BytesIO, times: int) -> io.BytesIO:
    """Let the footer name its only batch so many times."""
    data = file.getvalue()
    (size,) = struct.unpack_from("<i", data, len(data) - 10)
    head, footer = data[: -10 - size], bytearray(data[-10 - size : -10])
    (root,) = struct.unpack_from("<I", footer)
    table = root - struct.unpack_from("<i", footer, root)[0]
    at = root + struct.unpack_from("<H", footer, table + 4 + 2 * 3)[0]
    vector = at + struct.unpack_from("<I", footer, at)[0]
    block = bytes(footer[vector + 4 : vector + 28])
    footer += b"\0" * (-(len(footer) + 4) % 8)
    struct.pack_into("<I", footer, at, len(footer) - at)
    footer += struct.pack("<I", times) + block * times
    footer += b"\0" * (-len(footer) % 8)
    return io.BytesIO(head + footer + struct.pack("<i", len(footer)) + b"ARROW1")


def test_a_footer_that_names_a_batch_again_and_again_is_refused() -> None:
    file = written(["a" * 100_000], None, pa.ipc.new_file)
    assert pa.ipc.open_file(_repeated(file, 2)).num_record_batches == 2
    check_unpacked(_repeated(file, 1), LIMITS)
    with pytest.raises(ValueError, match="names batches twice"):
        check_unpacked(_repeated(file, 50), LIMITS)
    with pytest.raises(DatasetError):
        list(columnar_records(_repeated(file, 50), Limits()))
