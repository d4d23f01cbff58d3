"""Parquet and Arrow: a few rows at a time, validated before they are looked at."""

from collections.abc import Iterator
from itertools import count
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from detectors.dataset import BadLine
from detectors.errors import DatasetError
from detectors.reading.arrowsize import ARROW_FILE, check_unpacked
from detectors.reading.cell import with_json_cells
from detectors.reading.columntype import check_column_type, weight
from detectors.reading.fault import RowFault, shown
from detectors.reading.jsontext import check_strings, strings, too_long
from detectors.reading.limits import Limits
from detectors.reading.parquetsize import MOST_ROWS, rows_a_batch
from detectors.reading.record import Record
from detectors.reading.rowshape import COLUMNS

PARQUET: Final = b"PAR1"
ARROW_STREAM: Final = b"\xff\xff\xff\xff"
_BROKEN: Final = (
    pa.ArrowException,
    OSError,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    MemoryError,
)
"""What Arrow raises over corrupt input and over values that Python cannot hold."""

Value = dict[str, object]


def columnar_records(file: BinaryIO, limits: Limits) -> Iterator[Record | BadLine]:
    """Yield one Record or BadLine for every row; `line` is the 1-based row.

    DatasetError where the schema cannot be read or has no column of a known shape.
    Where the data breaks off, one last BadLine stands for the rest.
    """
    rows = count(1)
    decoded = 0
    try:
        for batch in _batches(file, limits):
            for heavy, values in _values(batch, limits):
                decoded += heavy
                _check_decoded(decoded, limits)
                for value in values:
                    yield _record(value, next(rows), limits)
    except _BROKEN as error:
        found = shown(_first_line(error))
        yield BadLine(next(rows), "corrupt_file", "", "readable column data", found)


def _check_decoded(decoded: int, limits: Limits) -> None:
    if decoded > limits.max_bytes:
        raise DatasetError(
            f"the table takes more than {limits.max_bytes} bytes once decoded; "
            "split it or raise max_bytes"
        )


def _batches(file: BinaryIO, limits: Limits) -> Iterator[pa.RecordBatch]:
    head = file.read(len(ARROW_FILE))
    file.seek(0)
    opener = _parquet_batches if head.startswith(PARQUET) else _arrow_batches
    try:
        return opener(file, limits)
    except _BROKEN as error:
        reason = shown(_first_line(error))
        raise DatasetError(f"the table cannot be opened: {reason}") from None


def _parquet_batches(file: BinaryIO, limits: Limits) -> Iterator[pa.RecordBatch]:
    table = pq.ParquetFile(file)
    if table.metadata.num_rows > limits.max_rows:
        raise DatasetError(
            f"the file holds {table.metadata.num_rows} rows, over the limit of "
            f"{limits.max_rows}; split it or raise max_rows"
        )
    columns = _columns(table.schema_arrow, limits)
    batches: Iterator[pa.RecordBatch] = table.iter_batches(
        batch_size=rows_a_batch(file, table.metadata, columns, limits),
        columns=columns,
        use_threads=False,
    )
    return batches


def _arrow_batches(file: BinaryIO, limits: Limits) -> Iterator[pa.RecordBatch]:
    head = file.read(len(ARROW_FILE))
    check_unpacked(file, limits)
    if head == ARROW_FILE:
        table = pa.ipc.open_file(file)
        whole = (table.get_batch(i) for i in range(table.num_record_batches))
    else:
        table = pa.ipc.open_stream(file)
        whole = iter(table)
    columns = _columns(table.schema, limits)
    return (
        batch.select(columns).slice(start, MOST_ROWS)
        for batch in whole
        for start in range(0, max(batch.num_rows, 1), MOST_ROWS)
    )


def _columns(schema: pa.Schema, limits: Limits) -> list[str]:
    if len(set(schema.names)) != len(schema.names):
        raise DatasetError("the table names a column twice; rename one of them")
    known = [name for name in schema.names if name in COLUMNS]
    if not known:
        found = ", ".join(shown(name) for name in schema.names[:8])
        raise DatasetError(
            f"the table has no column of a known row shape (found {found}); expected "
            "messages, conversations, contents, prompt and completion, or text"
        )
    for name in known:
        check_column_type(schema.field(name).type, limits.max_nesting, name)
    return known


def _values(
    batch: pa.RecordBatch, limits: Limits
) -> Iterator[tuple[int, list[Value | RowFault]]]:
    """Weight and rows of a batch; what is invalid or too heavy is halved until alone.

    Nothing may touch the batch before `validate`: Arrow files are not checked on
    opening, and their offsets may point anywhere in memory.
    """
    if not batch.num_rows:
        return
    try:
        batch.validate(full=True)
        heavy = sum(weight(column, limits.max_row_bytes) for column in batch.columns)
        if heavy <= limits.max_row_bytes:
            yield heavy, batch.to_pylist()
            return
        fault = too_long(limits)
    except _BROKEN as error:
        fault = _invalid(error)
    if batch.num_rows == 1:
        yield 0, [fault]
        return
    middle = batch.num_rows // 2
    yield from _values(batch.slice(0, middle), limits)
    yield from _values(batch.slice(middle), limits)


def _invalid(error: Exception) -> RowFault:
    reason = _first_line(error)
    if "utf8" in reason.lower():
        return RowFault("invalid_utf8", "", "UTF-8 text", shown(reason))
    return RowFault("corrupt_row", "", "valid column data", shown(reason))


def _record(value: Value | RowFault, row: int, limits: Limits) -> Record | BadLine:
    if isinstance(value, RowFault):
        return value.at(row)
    try:
        if sum(len(text) for text in strings(value)) > limits.max_row_chars:
            raise too_long(limits)
        check_strings(value)
        return Record(row, with_json_cells(value, limits))
    except RowFault as fault:
        return fault.at(row)


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0]
