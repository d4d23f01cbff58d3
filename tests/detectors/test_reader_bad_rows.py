"""A row that cannot be read is named with its line; its neighbours are read."""

import json
from collections.abc import Callable

import pytest

from detectors.dataset import Dataset
from detectors.errors import DatasetError
from detectors.reader import Limits, read_rows
from tests.detectors.written_rows import codes, jsonl

BAD_LINES = {
    "bad json": (b'{"messages": [', "bad_json"),
    "two values": (b'{"text": "a"} {"text": "b"}', "bad_json"),
    "not an object": (b'["text"]', "wrong_type"),
    "a number": (b"7", "wrong_type"),
    "NaN": (b'{"text": "a", "score": NaN}', "bad_json"),
    "a float that overflows": (b'{"text": "a", "score": 1e999}', "bad_json"),
    "a number of 5000 digits": (
        b'{"text": "a", "n": ' + b"1" * 5000 + b"}",
        "bad_json",
    ),
    "a key twice": (b'{"text": "a", "text": "b"}', "duplicate_key"),
    "a raw NUL": (b'{"text": "a\0"}', "nul_character"),
    "an escaped NUL": (rb'{"text": "a\u0000"}', "nul_character"),
    "a lone surrogate": (rb'{"text": "a\ud800"}', "lone_surrogate"),
    "a byte that is not UTF-8": (b'{"text": "a\xff"}', "invalid_utf8"),
    "no known field": (b'{"question": "a", "answer": "b"}', "unknown_shape"),
    "fields of two shapes": (
        b'{"instruction": "a", "output": "b", "text": "c"}',
        "ambiguous_shape",
    ),
    "another shape than before": (b'{"prompt": "a", "completion": "b"}', "mixed_shape"),
    "an empty reply": (b'{"text": " "}', "empty_assistant"),
    "brackets without end": (b"[" * 100_000, "too_deep"),
    "deep but closed": (
        b'{"text": "a", "x": ' + b"[" * 100 + b"]" * 100 + b"}",
        "too_deep",
    ),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_named_and_its_neighbours_are_read(
    name: str, read: Callable[..., Dataset]
) -> None:
    line, code = BAD_LINES[name]
    found = read(b'{"text": "one"}\n' + line + b'\n{"text": "three"}\n')
    assert [e.origin.line for e in found] == [1, 3]
    assert codes(found) == [(2, code)]
    assert found.bad_line_count == 1
    assert found.bad_lines[0].expected


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_row_of_a_json_array_is_named_too(
    name: str, read: Callable[..., Dataset]
) -> None:
    line, code = BAD_LINES[name]
    unbalanced = name in ("bad json", "brackets without end")
    found = read(b'[{"text": "one"},\n' + line + b',\n{"text": "three"}]')
    if unbalanced:
        assert len(found) == 1
        assert codes(found)[-1] == (2, "truncated_file")
    else:
        assert [e.origin.line for e in found] == [1, 3]
        assert codes(found) == [(2, code)]


@pytest.mark.parametrize(("depth", "count"), [(7, 1), (8, 0)])
def test_nesting_is_counted_alike_in_text_and_in_parsed_rows(
    depth: int, count: int, read: Callable[..., Dataset]
) -> None:
    limits = Limits(max_nesting=8)
    for innermost in ("[]", "[1]"):
        inner = "[" * (depth - 1) + innermost + "]" * (depth - 1)
        line = f'{{"text": "a", "x": {inner}}}'
        assert len(read(line.encode(), limits)) == count
        assert len(read_rows([json.loads(line)], name="r", limits=limits)) == count


def test_brackets_inside_strings_do_not_nest(read: Callable[..., Dataset]) -> None:
    text = "[" * 500 + '\\"' + "{" * 500
    assert read(json.dumps({"text": text}).encode())[0].messages[0].content == text


def test_the_nesting_check_is_linear_in_hostile_quotes(
    read: Callable[..., Dataset],
) -> None:
    hostile = b"[" * 70 + b'"' + b'\\"' * 200_000
    assert codes(read(hostile[70:]))[0][1] == "bad_json"
    assert read(b'{"text": "a"}\n{"x":' + hostile).bad_lines[0].code == "too_deep"


def test_what_is_shown_of_a_bad_row_is_short_and_printable(
    read: Callable[..., Dataset],
) -> None:
    hostile = "\x1b[31m\u202e" * 1000
    rows = [{"messages": [{"role": hostile, "content": "a"}]}, {hostile: 1}]
    found = read(jsonl(rows)).bad_lines
    assert len(found) == 2
    for bad in found:
        assert len(str(bad)) < 500
        assert str(bad).isascii()
        assert str(bad).isprintable()


def test_bad_lines_are_all_counted_and_some_kept(read: Callable[..., Dataset]) -> None:
    found = read(b"nonsense\n" * 50, Limits(max_bad_lines=7))
    assert found.bad_line_count == 50
    assert len(found.bad_lines) == 7


def test_parsed_rows_that_are_not_json_are_bad_lines() -> None:
    deep: object = "x"
    for _ in range(5000):
        deep = [deep]
    rows = [{"text": "a"}, {"text": {1, 2}}, {"text": "b", "n": float("nan")}, deep, 3]
    found = read_rows(rows, name="rows")
    assert codes(found) == [
        (2, "bad_json"),
        (3, "bad_json"),
        (4, "too_deep"),
        (5, "wrong_type"),
    ]
    with pytest.raises(DatasetError, match="no rows"):
        read_rows([], name="rows")
