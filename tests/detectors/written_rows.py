"""Rows written as files of every format that the reader accepts."""

import csv
import gzip
import io
import json
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from detectors.dataset import Dataset

Row = dict[str, object]
ROWS: list[Row] = [
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f'Row {i}: "why",\nplease?'},
            {"role": "assistant", "content": "Because, naturally. \N{SNOWMAN}"},
        ]
    }
    for i in range(5)
]


def jsonl(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def json_array(rows: list[Row]) -> bytes:
    return json.dumps(rows, indent=2, ensure_ascii=False).encode()


def csv_file(rows: list[Row]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    for row in rows:
        cells = row.items()
        writer.writerow(
            {k: c if isinstance(c, str) else json.dumps(c) for k, c in cells}
        )
    return text.getvalue().encode()


def parquet(rows: list[Row]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def arrow_file(rows: list[Row]) -> bytes:
    file, table = io.BytesIO(), pa.Table.from_pylist(rows)
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def arrow_stream(rows: list[Row]) -> bytes:
    file, table = io.BytesIO(), pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def packed(data: bytes) -> bytes:
    """Give the same bytes at any time, so that a test has one name in all processes."""
    return gzip.compress(data, mtime=0)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


FORMATS: dict[str, Callable[[list[Row]], bytes]] = {
    "jsonl": jsonl,
    "json array": json_array,
    "csv": csv_file,
    "parquet": parquet,
    "arrow file": arrow_file,
    "arrow stream": arrow_stream,
}


def codes(dataset: Dataset) -> list[tuple[int, str]]:
    return [(bad.line, bad.code) for bad in dataset.bad_lines]
