"""Rows read one by one, for tests of their shapes."""

import pytest

from detectors.dataset import Example, Origin
from detectors.reading.fault import RowFault
from detectors.reading.limits import Limits
from detectors.reading.rowshape import read_row

Row = dict[str, object]


def read(row: object) -> Example:
    return read_row(row, Origin("rows.jsonl", 3), Limits())


def turns(example: Example) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in example.messages]


def fault(row: object) -> tuple[str, str]:
    with pytest.raises(RowFault) as caught:
        read(row)
    assert caught.value.expected
    return caught.value.code, caught.value.field


def said(*contents: str) -> list[Row]:
    roles = ["user", "assistant"] * len(contents)
    return [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]


CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "lookup", "arguments": '{"order": 7}'},
}
TOOL = {"type": "function", "function": {"name": "lookup", "parameters": None}}
