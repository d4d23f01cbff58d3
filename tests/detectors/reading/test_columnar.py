import io
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detectors.dataset import BadLine
from detectors.errors import DatasetError
from detectors.reading.columnar import columnar_records
from detectors.reading.limits import Limits
from detectors.reading.record import Record


def stream(table: pa.Table) -> bytes:
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def read(data: bytes, limits: Limits | None = None) -> list[Record | BadLine]:
    return list(columnar_records(io.BytesIO(data), limits or Limits()))


def codes(found: list[Record | BadLine]) -> list[str]:
    return [row.code if isinstance(row, BadLine) else "read" for row in found]


def text_table(kind: pa.DataType, values: list[str]) -> pa.Table:
    return pa.table({"text": pa.array(values).cast(kind)})


@pytest.mark.parametrize(
    "kind",
    [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
)
def test_every_kind_of_string_column_is_read(kind: pa.DataType) -> None:
    found = read(stream(text_table(kind, ["one", "two", "one"])))
    values = [row.value for row in found if isinstance(row, Record)]
    assert values == [{"text": "one"}, {"text": "two"}, {"text": "one"}]


def test_offsets_that_point_outside_the_data_are_bad_rows_and_no_crash() -> None:
    data = stream(text_table(pa.string(), ["aaaa", "bbbb", "cccc"]))
    good, bad = struct.pack("<4i", 0, 4, 8, 12), struct.pack("<4i", 0, 4, 2**30, 12)
    assert data.count(good) == 1
    found = read(data.replace(good, bad))
    assert codes(found) == ["read", "corrupt_row", "corrupt_row"]


def test_text_that_is_not_utf8_spoils_its_own_row_alone() -> None:
    table = text_table(pa.string(), ["aaaa", "bbbb", "cccc"])
    for data in (stream(table), parquet(table)):
        place = data.rindex(b"bbbb")
        found = read(data[:place] + b"b\xff\xffb" + data[place + 4 :])
        assert codes(found)[::2] == ["read", "read"]
        assert codes(found)[1] == "invalid_utf8"


def test_eight_bytes_that_stand_for_two_thousand_million_nulls_are_one_bad_row() -> (
    None
):
    offsets = pa.py_buffer(struct.pack("<2i", 0, 2**31 - 1))
    nulls = pa.nulls(2**31 - 1)
    kind = pa.list_(pa.null())
    array = pa.Array.from_buffers(kind, 1, [None, offsets], children=[nulls])
    data = stream(pa.table({"messages": array}))
    assert len(data) < 2000
    assert codes(read(data)) == ["row_too_long"]


def test_one_long_string_that_a_dictionary_repeats_is_weighed_each_time() -> None:
    indices = pa.array([0] * 10_000, pa.int32())
    column = pa.DictionaryArray.from_arrays(indices, pa.array(["x" * 100_000]))
    data = stream(pa.table({"text": column}))
    assert len(data) < 200_000
    with pytest.raises(DatasetError, match="once decoded"):
        read(data, Limits(max_bytes=2**24))


def test_a_view_that_repeats_one_string_is_weighed_too() -> None:
    view = struct.pack("<i4sii", 500, b"xxxx", 0, 0)
    buffers = [None, pa.py_buffer(view * 5), pa.py_buffer(b"x" * 500)]
    array = pa.Array.from_buffers(pa.string_view(), 5, buffers)
    found = read(stream(pa.table({"text": array})), Limits(max_row_chars=100))
    assert codes(found) == ["row_too_long"] * 5


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([[1, 2]], pa.list_view(pa.int8())), "not read"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), "not read"),
        (
            pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]),
            "a field twice",
        ),
    ],
)
def test_types_that_multiply_or_mislead_are_refused(
    column: pa.Array, words: str
) -> None:
    with pytest.raises(DatasetError, match=words):
        read(stream(pa.table({"messages": column})))


def test_a_schema_nested_over_the_limit_is_refused() -> None:
    kind = pa.string()
    for _ in range(20):
        kind = pa.list_(kind)
    data = stream(pa.table({"messages": pa.array([None], kind)}))
    with pytest.raises(DatasetError, match="nests deeper"):
        read(data, Limits(max_nesting=19))
    assert len(read(data, Limits(max_nesting=20))) == 1


def test_a_column_name_that_stands_twice_refuses_the_table() -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["text", "text"])
    with pytest.raises(DatasetError, match="twice"):
        read(stream(table))


def test_a_table_without_a_known_column_is_refused_and_says_what_it_found() -> None:
    with pytest.raises(DatasetError, match="found 'question'"):
        read(parquet(pa.table({"question": ["a"]})))


def test_columns_that_no_shape_knows_are_not_even_decoded() -> None:
    table = pa.table({"text": ["a"], "blob": [b"x" * 5000]})
    (row,) = read(parquet(table), Limits(max_row_chars=100))
    assert isinstance(row, Record)
    assert row.value == {"text": "a"}


def test_tokens_beside_the_text_are_decoded_so_that_the_row_is_refused() -> None:
    (row,) = read(parquet(pa.table({"text": ["a"], "input_ids": [[101, 102]]})))
    assert isinstance(row, Record)
    assert row.value == {"text": "a", "input_ids": [101, 102]}


def test_a_json_column_that_is_not_json_names_the_column() -> None:
    found = read(parquet(pa.table({"messages": ["[]", "[{"]})))
    assert codes(found) == ["read", "bad_json"]
    assert isinstance(found[1], BadLine)
    assert found[1].field == "messages"


def test_a_parquet_file_whose_later_pages_are_corrupt_keeps_the_rows_before() -> None:
    file = io.BytesIO()
    table = text_table(pa.string(), [f"row {i}" for i in range(2000)])
    pq.write_table(table, file, row_group_size=500, compression="gzip")
    data = bytearray(file.getvalue())
    start = pq.ParquetFile(file).metadata.row_group(2).column(0).data_page_offset
    data[start + 40 : start + 300] = b"\xff" * 260
    found = read(bytes(data))
    kept = codes(found).count("read")
    assert 500 <= kept < 2000
    assert codes(found)[kept:] == ["corrupt_file"]
    last = found[-1]
    assert isinstance(last, BadLine)
    assert last.line == kept + 1
