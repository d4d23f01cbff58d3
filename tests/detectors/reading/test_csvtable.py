import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.dataset import BadLine
from detectors.errors import DatasetError
from detectors.reading.csvtable import DELIMITERS, csv_records, split_header
from detectors.reading.limits import Limits
from detectors.reading.record import Record

CELLS = st.text('a"\r\n,;\t| é', max_size=8)


def read(data: bytes, delimiter: str = ",", step: int = 7) -> list[object]:
    blocks = (data[i : i + step] for i in range(0, len(data), step))
    return [
        row.value if isinstance(row, Record) else (row.line, row.code)
        for row in csv_records(blocks, delimiter, Limits(max_row_chars=1000))
    ]


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS), max_size=5),
    delimiter=st.sampled_from(DELIMITERS),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    step=st.integers(1, 9),
)
def test_whatever_a_csv_writer_writes_is_read_back(
    rows: list[tuple[str, str]], delimiter: str, quoting: int, step: int
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(["prompt", "completion"])
    writer.writerows(rows)
    expected = [{"prompt": one, "completion": two} for one, two in rows]
    assert read(text.getvalue().encode(), delimiter, step) == expected


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=60), step=st.integers(1, 9))
def test_how_it_is_cut_never_changes_what_is_read(data: bytes, step: int) -> None:
    hostile = b'a,b\n"' + data
    assert read(hostile, step=step) == read(hostile, step=1000)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"1,2\n3\n4,5\n", [{"a": "1", "b": "2"}, (3, "cell_count"), None]),
        (b"1,2,3\n", [(2, "cell_count")]),
        (b'"1"x,2\n3,4\n', [(2, "bad_quote"), None]),
        (b'5" pipe,2\n', [{"a": '5" pipe', "b": "2"}]),
        (b'1,"2\n3,4\n', [(2, "unclosed_quote")]),
        (b"\xff,2\n3,4\n", [(2, "invalid_utf8"), None]),
        (b'"\xff\n",2\n3,4\n', [(2, "invalid_utf8"), None]),
        (b"\0,2\n3,4\n", [(2, "nul_character"), None]),
        (b"x" * 9000 + b",2\n3,4\n", [(2, "row_too_long"), None]),
        (b'1,"' + b"x\n" * 900 + b'"\n3,4\n', [(2, "row_too_long"), None]),
        (b"\n\n1,2\n", [None]),
    ],
)
def test_what_is_wrong_with_a_row_is_named_and_the_next_one_read(
    body: bytes, expected: list[object]
) -> None:
    found = read(b"a,b\n" + body)
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        assert isinstance(row, dict) if wanted is None else row == wanted


def test_a_quote_that_never_closes_says_which_lines_it_took() -> None:
    data = b'a,b\n1,"2\n3,4\n5,6\n'
    (bad,) = csv_records(iter([data]), ",", Limits())
    assert isinstance(bad, BadLine)
    assert "lines 2 to 4" in bad.found


def test_blank_lines_before_the_header_are_skipped() -> None:
    assert read(b"\r\n \t\na,b\n1,2\n") == [{"a": "1", "b": "2"}]


def test_a_header_cell_may_be_quoted() -> None:
    assert split_header('"prompt", completion\r\n', ",") == ["prompt", "completion"]
    assert split_header('"prompt', ",") == []


def test_columns_without_a_name_are_no_column_twice() -> None:
    (row,) = read(b"prompt,completion,, \na,b,,\n")
    assert row == {"prompt": "a", "completion": "b", "": ""}


def test_a_column_that_stands_twice_refuses_the_file() -> None:
    with pytest.raises(DatasetError, match="twice"):
        read(b"a,a\n1,2\n")


@pytest.mark.parametrize(
    "line",
    [b"a\rb,c", b"a,b\rc", b'"a"\r,b', b'"a",b\rc'],
)
def test_a_return_alone_is_refused_for_others_end_the_row_there(line: bytes) -> None:
    found = read(b"prompt,completion\r\na,b\r\n" + line + b"\r\n")
    assert found[0] == {"prompt": "a", "completion": "b"}
    assert found[1:] in ([(3, "bare_return")], [(3, "bad_quote")])
    assert len(list(csv.reader(io.StringIO(line.decode(), newline="")))) > 1


def test_a_quoted_return_is_text() -> None:
    found = read(b'prompt,completion\n"a\rb",c\n')
    assert found == [{"prompt": "a\rb", "completion": "c"}]


def test_blank_lines_are_counted_like_rows() -> None:
    blocks = iter([b"text\n" + b"\n" * 6 + b"a\n"])
    with pytest.raises(DatasetError, match="5 blank lines"):
        list(csv_records(blocks, ",", Limits(max_rows=5)))
