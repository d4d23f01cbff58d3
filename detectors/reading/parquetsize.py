"""How many rows of a Parquet file may be decoded at once, told before any is decoded.

A dictionary writes a long string once and stands for it in every row, and so does delta
encoding: the sizes in the footer are those before that growth.
"""

from typing import BinaryIO, Final

import pyarrow.parquet as pq

from detectors.reading.limits import Limits, check_unpacked_size

MOST_ROWS: Final = 64
_BATCH_BYTES: Final = 32 * 2**20
_HEADER_BYTES: Final = 32


def rows_a_batch(
    file: BinaryIO, metadata: pq.FileMetaData, columns: list[str], limits: Limits
) -> int:
    """Return 1 to MOST_ROWS; DatasetError where a row group unpacks like a bomb."""
    longest = 1
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        chunks = [group.column(i) for i in range(group.num_columns)]
        known = [c for c in chunks if c.path_in_schema.split(".")[0] in columns]
        _check_ratio(known, limits)
        longest = max(longest, sum(_repeatable(file, chunk) for chunk in known))
    return max(1, min(MOST_ROWS, _BATCH_BYTES // longest))


def _check_ratio(chunks: list[pq.ColumnChunkMetaData], limits: Limits) -> None:
    packed = sum(chunk.total_compressed_size for chunk in chunks)
    plain = sum(chunk.total_uncompressed_size for chunk in chunks)
    check_unpacked_size("row group", packed, plain, limits)


def _repeatable(file: BinaryIO, chunk: pq.ColumnChunkMetaData) -> int:
    """Bytes that one value can take without being written for its own row."""
    if "DELTA_BYTE_ARRAY" in chunk.encodings:
        return int(chunk.total_uncompressed_size)
    if not chunk.dictionary_page_offset:
        return 0
    file.seek(chunk.dictionary_page_offset)
    return _page_bytes(file.read(_HEADER_BYTES))


def _page_bytes(header: bytes) -> int:
    """Size of a page from its Thrift header: field 1 is its type, field 2 its size."""
    _, rest = _i32(header)
    size, _ = _i32(rest)
    if size < 0:
        raise ValueError("a Parquet page of a negative size")
    return size


def _i32(data: bytes) -> tuple[int, bytes]:
    """Read the next field as a zigzag varint; ValueError where it is none."""
    if not data or data[0] != 0x15:  # one field on, of type i32
        raise ValueError("a Parquet page header that cannot be read")
    number = 0
    for place, byte in enumerate(data[1:6]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number >> 1 ^ -(number & 1), data[place + 2 :]
    raise ValueError("a Parquet page header that cannot be read")
