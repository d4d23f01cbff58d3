import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.dataset import BadLine
from detectors.reading.jsonarray import json_array_records
from detectors.reading.limits import Limits
from detectors.reading.record import Record

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a"\\[]{},é\n', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("k"), inner),
    max_leaves=6,
)


def read(data: bytes, step: int, limits: Limits | None = None) -> list[object]:
    blocks = (data[i : i + step] for i in range(0, len(data), step))
    return [
        row.value if isinstance(row, Record) else (row.line, row.code)
        for row in json_array_records(blocks, limits or Limits())
    ]


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(VALUES, max_size=5),
    step=st.integers(1, 9),
    indent=st.none() | st.just(1),
)
def test_any_array_cut_anywhere_gives_its_elements(
    rows: list[object], step: int, indent: int | None
) -> None:
    for ascii_only in (True, False):
        data = json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode()
        assert read(data, step) == rows


@settings(max_examples=100, deadline=None)
@given(data=st.text('[]{},"\\1 ', max_size=30), step=st.integers(1, 9))
def test_how_it_is_cut_never_changes_what_is_read(data: str, step: int) -> None:
    hostile = b"[" + data.encode()
    assert read(hostile, step) == read(hostile, 1000)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[]", []),
        (b"[1,]", [1, (2, "bad_json")]),
        (b"[,1]", [(1, "bad_json"), 1]),
        (b"[1 2, 3]", [(1, "bad_json"), 3]),
        (b"[1, 2", [1, (2, "truncated_file")]),
        (b"[1, {]", [1, (2, "corrupt_file")]),
        (b"[1] [2]", [1, (2, "corrupt_file")]),
        (b"[1]\n ", [1]),
        (b'["a]', [(1, "truncated_file")]),
        (b'["\xff", 2]', [(1, "invalid_utf8"), 2]),
    ],
)
def test_what_is_wrong_with_an_array_is_named_where_it_stands(
    data: bytes, expected: list[object]
) -> None:
    assert read(data, 1) == expected


def test_an_element_over_the_limit_is_skipped_and_the_next_one_read() -> None:
    data = b'[1, "' + b"x" * 10_000 + b'", {"a": [' + b"2," * 5000 + b"2]}, 3]"
    found = read(data, 64, Limits(max_row_chars=100))
    assert found == [1, (2, "row_too_long"), (3, "row_too_long"), 3]


def test_depth_beyond_the_limit_costs_no_memory_and_spoils_one_element() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    rows = list(json_array_records(iter([b"[1," + deep + b",2]"]), Limits()))
    assert [isinstance(row, BadLine) for row in rows] == [False, True, False]


def test_no_amount_of_white_space_hides_what_stands_behind_the_array() -> None:
    data = b"[1]" + b" " * 900 + b"2"
    found = read(data, 64, Limits(max_row_chars=100))
    assert found == [1, (2, "corrupt_file")]
