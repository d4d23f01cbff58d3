import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detectors.dataset import BadLine
from detectors.errors import DatasetError
from detectors.reading.columnar import columnar_records
from detectors.reading.limits import Limits
from detectors.reading.parquetsize import MOST_ROWS, rows_a_batch


def parquet(texts: list[str], **options: object) -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": texts}), file, compression="zstd", **options)
    return io.BytesIO(file.getvalue())


def rows(file: io.BytesIO) -> int:
    metadata = pq.ParquetFile(file).metadata
    most = rows_a_batch(file, metadata, ["text"], Limits())
    file.seek(0)
    return most


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}},
    ],
)
def test_one_long_string_in_every_row_is_not_unpacked_for_all_of_them(
    options: dict[str, object],
) -> None:
    file = parquet(["x" * (6 * 2**20)] * 16, **options)
    assert len(file.getvalue()) < 20_000
    assert rows(file) <= 5
    found = list(columnar_records(file, Limits()))
    assert [row.code for row in found if isinstance(row, BadLine)] == [
        "row_too_long"
    ] * 16


def test_ordinary_rows_are_read_many_at_a_time() -> None:
    assert rows(parquet([f"row {i}" for i in range(1000)])) == MOST_ROWS


def test_pages_that_unpack_like_a_bomb_refuse_the_table_before_they_are_unpacked() -> (
    None
):
    file = parquet(["x" * 2**20] * 20, use_dictionary=False)
    with pytest.raises(DatasetError, match="decompresses from"):
        list(columnar_records(file, Limits()))
