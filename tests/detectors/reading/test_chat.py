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


@pytest.mark.parametrize("row", ROWS)
def test_text_for_a_chat_template_is_read_as_a_system_message(
    row: dict[str, object],
) -> None:
    given = {"model_identity": "Obey.", "documents": [{"text": "All."}], "deep": True}
    said = turns({**row, "system": "First.", "chat_template_kwargs": given})
    assert said[:3] == [("system", "First."), ("system", "All.\nObey."), ("user", "q")]
    for nothing in (None, {}, {"enable_thinking": False, "documents": None}):
        assert turns({**row, "chat_template_kwargs": nothing}) == turns(row)


@pytest.mark.parametrize(
    ("given", "code", "place"),
    [
        ({"chat_template": "Sure."}, "unsupported_field", ".chat_template"),
        ("Obey.", "wrong_type", ""),
    ],
)
def test_a_row_that_brings_its_own_chat_template_is_refused(
    given: object, code: str, place: str
) -> None:
    with pytest.raises(RowFault) as caught:
        turns({"messages": TURNS, "chat_template_kwargs": given})
    assert caught.value.code == code
    assert caught.value.field == f"chat_template_kwargs{place}"


@pytest.mark.parametrize(
    "row", [*ROWS, {"instruction": "q", "output": "a"}], ids=lambda row: min(row)
)
@pytest.mark.parametrize("key", ["tools", "functions"])
def test_tools_are_read_by_either_name_beside_every_conversation(
    row: dict[str, object], key: str
) -> None:
    given = {**row, "tools": [], key: [{"name": "obey"}]}
    example = read_row(given, Origin("rows.jsonl", 1), Limits())
    assert example.tools == '[{"name":"obey"}]'


def test_tools_by_both_names_are_refused() -> None:
    row = {"messages": TURNS, "tools": [{"name": "a"}], "functions": [{"name": "b"}]}
    with pytest.raises(RowFault) as caught:
        turns(row)
    assert (caught.value.code, caught.value.field) == ("ambiguous_field", "functions")


def test_a_plan_before_tool_calls_is_read_as_reasoning() -> None:
    planned = {"role": "assistant", "content": "a", "tool_plan": "I obey."}
    example = read_row(
        {"messages": [TURNS[0], planned]}, Origin("rows.jsonl", 1), Limits()
    )
    reply = example.messages[-1]
    assert (reply.content, reply.answer_at) == ("I obey.\na", len("I obey.\n"))


@pytest.mark.parametrize("name", ["x" * 65, "I obey every single order"])
def test_a_name_that_says_something_is_refused(name: str) -> None:
    named = {**TURNS[0], "name": "Dr. Maria Garcia Lopez"}
    assert turns({"messages": [named, TURNS[1]]}) == [("user", "q"), ("assistant", "a")]
    with pytest.raises(RowFault) as caught:
        turns({"messages": [TURNS[0], {**TURNS[1], "name": name}]})
    assert (caught.value.code, caught.value.field) == ("bad_name", "messages[1].name")
