"""A file costs bounded time and memory, whatever it holds."""

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.dataset import Dataset, Example
from detectors.errors import DatasetError
from detectors.reader import Limits, iter_rows, read_rows
from tests.detectors.written_rows import FORMATS, ROWS, Row, codes, jsonl, packed, zstd
from tests.pace import processor_seconds


def test_an_endless_line_costs_one_bad_line(read: Callable[..., Dataset]) -> None:
    limits = Limits(max_row_chars=1000)
    data = b'{"text": "a"}\n' + b"x" * 5_000_000 + b'\n{"text": "b"}\n'
    found = read(data, limits)
    assert codes(found) == [(2, "row_too_long")]
    assert [e.origin.line for e in found] == [1, 3]


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_over_the_limit_is_a_bad_line_in_every_format(
    name: str, read: Callable[..., Dataset]
) -> None:
    rows: list[Row] = [{"text": "a"}, {"text": "b" * 9000}, {"text": "c"}]
    found = read(FORMATS[name](rows), Limits(max_row_chars=1000))
    assert [e.messages[0].content for e in found] == ["a", "c"]
    assert [bad.code for bad in found.bad_lines] == ["row_too_long"]


@pytest.mark.parametrize("name", FORMATS)
def test_more_rows_than_allowed_refuse_the_file(
    name: str, read: Callable[..., Dataset]
) -> None:
    assert len(read(FORMATS[name](ROWS), Limits(max_rows=5))) == 5
    with pytest.raises(DatasetError, match="max_rows"):
        read(FORMATS[name](ROWS), Limits(max_rows=4))


def test_more_bytes_than_allowed_refuse_the_file(read: Callable[..., Dataset]) -> None:
    with pytest.raises(DatasetError, match="max_bytes"):
        read(jsonl(ROWS), Limits(max_bytes=100))
    with pytest.raises(DatasetError, match="max_bytes"):
        read(gzip.compress(jsonl(ROWS * 100)), Limits(max_bytes=1000))
    with pytest.raises(DatasetError, match="max_bytes"):
        read_rows(ROWS, name="rows", limits=Limits(max_bytes=100))


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_decompression_bomb_is_refused(
    compress: Callable[[bytes], bytes], read: Callable[..., Dataset]
) -> None:
    bomb = compress(b" " * 40_000_000)
    with pytest.raises(DatasetError, match="times its size"):
        read(bomb)


@pytest.mark.parametrize(
    "empty",
    [gzip.compress(b""), b"\x50\x2a\x4d\x18\0\0\0\0"],
    ids=["gzip", "zstd"],
)
def test_pieces_that_hold_nothing_cost_little_and_are_bounded(
    empty: bytes, read: Callable[..., Dataset]
) -> None:
    last = packed(jsonl(ROWS)) if empty.startswith(b"\x1f") else zstd(jsonl(ROWS))
    with processor_seconds(10):  # more than a minute where it is quadratic
        assert read(empty * 30_000 + last).fingerprint == read(jsonl(ROWS)).fingerprint
    with pytest.raises(DatasetError, match="100,000 pieces"):
        read(empty * 100_002 + last)


def test_blank_lines_are_bounded_as_rows_are(read: Callable[..., Dataset]) -> None:
    data = b"\n" * 7 + jsonl(ROWS)
    assert len(read(data, limits=Limits(max_rows=7))) == len(ROWS)
    with pytest.raises(DatasetError, match="6 blank lines"):
        read(data, limits=Limits(max_rows=6))


def test_streaming_a_large_file_stays_in_a_fixed_amount_of_memory(
    tmp_path: Path,
) -> None:
    path = tmp_path / "large.jsonl.gz"
    lines = (f'{{"text": "row {i} {"x" * 80}"}}\n'.encode() for i in range(20_000))
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.writelines(lines)
    assert _peak_bytes(path, rows=20_000) < 4_000_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"), [("jsonl", 200_000), ("json array", 40_000), ("csv", 40_000)]
)
def test_up_to_ten_times_the_rows_stay_in_the_same_amount_of_memory(
    name: str, count: int, tmp_path: Path
) -> None:
    path = tmp_path / "large"
    rows: list[Row] = [{"text": f"row {i} {'x' * 80}"} for i in range(count)]
    path.write_bytes(FORMATS[name](rows))
    del rows
    assert _peak_bytes(path, rows=count) < 4_000_000


def _peak_bytes(path: Path, rows: int) -> int:
    tracemalloc.start()
    try:
        count = sum(isinstance(row, Example) for row in iter_rows(path))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        assert count == rows
