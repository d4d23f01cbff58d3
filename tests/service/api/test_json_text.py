"""JSON text whose rows go on a few at a time: the same as any parser would read."""

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api import json_text
from service.api.json_text import TooManyValues, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
BODIES = st.fixed_dictionaries(
    {"policy": VALUES},
    optional={
        "rows": st.lists(VALUES) | VALUES,
        "datasets": st.lists(
            st.fixed_dictionaries({}, optional={"rows": st.lists(VALUES), "n": VALUES})
            | VALUES
        ),
    },
)


def whole(batches: Iterator[list[Any]]) -> list[Any]:
    return [row for batch in batches for row in batch]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make windows so small that most rows do not fit."""
    monkeypatch.setattr(json_text, "WINDOW_CHARS", 24)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("ascii_alone", [True, False])
def test_a_body_reads_as_python_reads_it(indent: int | None, ascii_alone: bool) -> None:
    @given(BODIES | VALUES)
    def check(value: Any) -> None:
        text = json.dumps(value, indent=indent, ensure_ascii=ascii_alone)
        assert read_json(f" {text}\n", whole) == value

    check()


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("number", ["1234567.5e10", "-0.00012E-7", "123456789012"])
def test_a_number_over_the_edge_of_a_window_is_read_whole(number: str) -> None:
    for before in range(60):
        text = f'{{"rows": ["{"x" * before}", {number}, {number}]}}'
        assert read_json(text, whole) == json.loads(text)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[",
        '{"rows"',
        '{"rows": [',
        '{"rows": [1',
        '{"rows": [1,',
        '{"rows": [1,]}',
        '{"rows": [,1]}',
        '{"rows": [1 2]}',
        '{"rows": [1}',
        '{"rows": [{"a": 1]}',
        '{"rows": [{"a": 1, "a": 2}]}',
        '{"rows": ["a\nb"]}',
        '{"rows": ["' + "x" * 99 + "\n" + '"]}',
        '{"rows": [' + '{"a": [1, 2, 3, 4, 5, 6, 7, 8, 9}' + "]}",
        '{"rows": [1], "rows": [2]}',
        '{"rows": [1], "name": "a", "name": "b"}',
        '{"rows": [1],}',
        '{"rows" [1]}',
        "{rows: [1]}",
        '{"rows": [1]} {}',
        '{"rows": [1]}]',
        '{"rows": [1]',
        '{"datasets": [{"rows": [1]}',
        '{"datasets": [{"rows": [1]}, ]}',
        '{"datasets": [{"rows": [1], "rows": [1]}]}',
        '{"policy": {"a": {"b": [1}}}',
        "[1, 2",
        "nul",
    ],
)
def test_what_is_no_valid_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text, whole)


def test_rows_that_nobody_takes_are_checked_nevertheless() -> None:
    assert read_json('{"rows": [1, {"a": 2}]}', lambda _: "left") == {"rows": "left"}
    with pytest.raises(ValueError, match="Expecting"):
        read_json('{"rows": [1, {"a": }]}', lambda _: "left")


def test_a_row_of_too_many_values_is_refused_unparsed() -> None:
    row = "[" + "[]," * 60_000 + "0]"
    for text in (f'{{"rows": [{row}]}}', f'{{"rows": [1, {{"a": {row}}}, 2]}}'):
        tracemalloc.start()
        with pytest.raises(TooManyValues):
            read_json(text, whole)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * 2**20


@pytest.mark.parametrize(
    "text",
    [
        "[" + "[]," * 60_000 + "0]",
        '{"policy": {' + ",".join(f'"{n}":{{}}' for n in range(30_000)) + "}}",
        "{" + ",".join(f'"{n}":[1,2,3,4]' for n in range(20_000)) + "}",
        '{"datasets": [' + ",".join(["{}"] * 120_000) + "]}",
        '{"datasets": [' + ",".join(['{"rows":[]}'] * 60_000) + "]}",
    ],
)
def test_what_is_no_row_has_so_many_values_in_all(text: str) -> None:
    with pytest.raises(TooManyValues):
        read_json(text, whole)


def test_a_long_row_of_few_values_is_read() -> None:
    row = {"text": 'he said "no" \\ ' * 100_000, "more": [1] * 1_000}
    text = json.dumps({"rows": [row, 1, row], "name": "long"})
    assert read_json(text, whole) == json.loads(text)


def test_rows_are_never_all_in_memory() -> None:
    text = '{"rows":[' + '{"a":[]},' * 200_000 + "{}]}"
    count = 0

    def counted(batches: Iterator[list[Any]]) -> None:
        nonlocal count
        count = sum(map(len, batches))

    tracemalloc.start()
    read_json(text, counted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 200_001
    assert peak < 8 * 2**20  # whole they take 58 MiB
