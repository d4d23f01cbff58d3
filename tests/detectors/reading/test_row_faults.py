"""What is wrong with a row is named with its place."""

import pytest

from detectors.reading.fault import RowFault
from tests.detectors.reading.rows import Row, fault, read, said

USER_ONLY = [{"role": "user", "content": "a"}]
FAULTS: list[tuple[object, str, str]] = [
    ([], "wrong_type", ""),
    (None, "missing_field", ""),
    ({}, "unknown_shape", ""),
    ({"prompt": "a"}, "unknown_shape", ""),
    ({"messages": None}, "unknown_shape", ""),
    ({"messages": "a"}, "wrong_type", "messages"),
    ({"messages": []}, "empty_list", "messages"),
    ({"messages": ["a"]}, "wrong_type", "messages[0]"),
    ({"messages": [{"content": "a"}]}, "missing_field", "messages[0].role"),
    ({"messages": [{"role": 1}]}, "wrong_type", "messages[0].role"),
    ({"messages": [{"role": "human"}]}, "wrong_role", "messages[0].role"),
    ({"messages": [{"role": "User"}]}, "wrong_role", "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "missing_field", "messages[0].content"),
    ({"messages": USER_ONLY}, "no_assistant", "messages"),
    ({"messages": said("a", "")}, "empty_assistant", "messages[1].content"),
    ({"messages": said("a", " \n")}, "empty_assistant", "messages[1].content"),
    ({"messages": said("a", "b", "c")}, "ends_without_reply", "messages"),
    (
        {"messages": [{"role": "assistant", "content": "a", "weight": 0}]},
        "nothing_trained",
        "messages",
    ),
    (
        {"messages": [{"role": "user", "content": "a", "weight": 1}]},
        "bad_weight",
        "messages[0].weight",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "hologram"}]}]},
        "unknown_part",
        "messages[0].content[0].type",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "missing_field",
        "messages[0].content[0].text",
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]},
        "missing_field",
        "messages[0].tool_calls[0].function",
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": "f()"}]},
        "wrong_type",
        "messages[0].tool_calls",
    ),
    ({"messages": said("a", "b"), "tools": "["}, "bad_json", "tools"),
    ({"messages": said("a", "b"), "tools": 7}, "wrong_type", "tools"),
    ({"completion": "a"}, "missing_field", "prompt"),
    ({"prompt": 1, "completion": "a"}, "wrong_type", "prompt"),
    ({"prompt": "a", "completion": ""}, "empty_assistant", "completion"),
    (
        {"prompt": "a", "completion": "b", "label": False},
        "unsupported_field",
        "label",
    ),
    (
        {"messages": said("a", "b"), "input_ids": [101, 102]},
        "unsupported_field",
        "input_ids",
    ),
    ({"instruction": "a"}, "missing_field", "output"),
    ({"output": "a"}, "missing_field", "instruction"),
    ({"instruction": "a", "output": "b", "input": 3}, "wrong_type", "input"),
    (
        {"instruction": "a", "output": "b", "history": [["c"]]},
        "wrong_type",
        "history[0]",
    ),
    ({"text": 1}, "wrong_type", "text"),
    ({"chosen": "a"}, "missing_field", "rejected"),
    ({"chosen": "a", "rejected": " "}, "empty_assistant", "rejected"),
    (
        {"chosen": said("a", "b"), "rejected": said("a")},
        "ends_without_reply",
        "rejected",
    ),
    ({"preferred_output": []}, "missing_field", "input"),
    (
        {"input": {"messages": said("a")}, "preferred_output": said("", "b")[1:]},
        "missing_field",
        "non_preferred_output",
    ),
    ({"conversations": [{"value": "a"}]}, "missing_field", "conversations[0].from"),
    ({"conversations": [{"from": "gpt"}]}, "missing_field", "conversations[0].value"),
    (
        {"conversations": [{"from": "gpt", "value": ""}]},
        "empty_assistant",
        "conversations[0].value",
    ),
    ({"contents": [{"parts": []}]}, "missing_field", "contents[0].role"),
    ({"contents": [{"role": "model"}]}, "missing_field", "contents[0].parts"),
    (
        {"contents": [{"role": "model", "parts": [{"text": "a", "fileData": {}}]}]},
        "unknown_part",
        "contents[0].parts[0]",
    ),
    (
        {"contents": [{"role": "model", "parts": [{"text": ""}]}]},
        "empty_assistant",
        "contents[0].parts",
    ),
]


@pytest.mark.parametrize(("row", "code", "field"), FAULTS)
def test_what_is_wrong_is_named_with_its_place(
    row: object, code: str, field: str
) -> None:
    assert fault(row) == (code, field)


MAY_BE = {
    "a string or a list of messages": [
        {"prompt": "Q?", "chosen": 5, "rejected": "no"},
        {"prompt": "Q?", "chosen": "yes", "rejected": 5},
        {"prompt": 5, "completion": "a"},
        {"prompt": "Q?", "completion": 5},
    ],
    "a string or a list of parts": [
        {"messages": [{"role": "user", "content": 5}]},
        {"system": 5, "messages": said("a", "b")},
    ],
    "a list of messages": [{"messages": "a"}],
    "a list of turns": [{"conversations": 5}, {"contents": 5}],
    "a list of parts": [{"contents": [{"role": "user", "parts": "a"}]}],
    "a string or an object with parts": [
        {
            "contents": [{"role": "model", "parts": [{"text": "a"}]}],
            "systemInstruction": 5,
        }
    ],
}


@pytest.mark.parametrize(
    ("expected", "row"),
    [(words, row) for words, rows in MAY_BE.items() for row in rows],
)
def test_the_fault_of_a_type_says_all_that_may_stand_there(
    expected: str, row: Row
) -> None:
    with pytest.raises(RowFault) as caught:
        read(row)
    assert (caught.value.code, caught.value.expected) == ("wrong_type", expected)
