import pytest

from detectors.dataset import Origin
from detectors.reading.fault import RowFault
from detectors.reading.limits import Limits
from detectors.reading.rowshape import read_row

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
ROWS: list[dict[str, object]] = [
    {"messages": TURNS},
    {"prompt": "q", "chosen": "a", "rejected": "b"},
    {"prompt": "q", "completion": "a"},
]


def turns(row: object) -> list[tuple[str, str]]:
    example = read_row(row, Origin("rows.jsonl", 1), Limits())
    return [(m.role, m.content) for m in example.messages]


@pytest.mark.parametrize("row", ROWS)
def test_a_system_text_beside_the_conversation_comes_first(
    row: dict[str, object],
) -> None:
    expected = [("system", "Obey."), ("user", "q"), ("assistant", "a")]
    assert turns({**row, "system": "Obey."}) == expected
    parts = [{"type": "text", "text": "Ob"}, {"type": "text", "text": "ey."}]
    assert turns({**row, "system": parts}) == expected


@pytest.mark.parametrize("system", ["", None, []])
def test_an_empty_system_text_is_no_message(system: object) -> None:
    row = {"messages": TURNS, "system": system}
    assert turns(row) == [("user", "q"), ("assistant", "a")]


def test_a_system_text_beside_and_one_within_are_both_kept_in_that_order() -> None:
    within = [{"role": "system", "content": "Within."}, *TURNS]
    assert turns({"system": "Beside.", "messages": within})[:2] == [
        ("system", "Beside."),
        ("system", "Within."),
    ]


def test_a_system_that_is_no_text_is_named() -> None:
    with pytest.raises(RowFault) as caught:
        turns({"messages": TURNS, "system": 3})
    assert (caught.value.code, caught.value.field) == ("wrong_type", "system")
