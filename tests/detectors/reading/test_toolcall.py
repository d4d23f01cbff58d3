"""Calls of tools and their definitions become canonical JSON, or are refused."""

import json

import pytest

from tests.detectors.reading.rows import CALL, TOOL, Row, fault, read, said


def test_tool_calls_and_tools_become_canonical_json() -> None:
    rows: list[Row] = [
        {"role": "developer", "content": "Help."},
        {"role": "user", "content": "where is it?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "in transit"},
        {"role": "assistant", "content": "On its way."},
    ]
    example = read({"messages": rows, "tools": [TOOL], "parallel_tool_calls": True})
    assert [m.role for m in example.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert json.loads(example.messages[2].tool_calls) == [CALL]
    assert json.loads(example.tools) == [
        {"type": "function", "function": {"name": "lookup"}}
    ]
    same = read({"messages": rows, "tools": json.dumps([TOOL])})
    assert same.canonical() == example.canonical()


@pytest.mark.parametrize("as_text", [True, False])
def test_letters_of_any_script_stay_readable_in_calls_and_tools(as_text: bool) -> None:
    text = "\u041f\u0440\u0438\u0432\u0435\u0442, \u4e16\u754c \U0001f600"
    given = {"q": text, "none": None}
    call = {"name": "say", "arguments": json.dumps(given) if as_text else given}
    row = {"messages": [{"role": "assistant", "function_call": call}], "tools": [given]}
    example = read(row)
    assert text in example.messages[0].tool_calls
    assert text in example.tools
    (made,) = json.loads(example.messages[0].tool_calls)
    kept = made["function"]["arguments"]
    assert (json.loads(kept) == given) if as_text else (kept == {"q": text})
    example.canonical()


def test_gemini_responses_keep_their_letters() -> None:
    parts = [{"functionResponse": {"name": "say", "response": {"q": "\u4e16\u754c"}}}]
    turns = [
        {"role": "user", "parts": parts},
        {"role": "model", "parts": [{"text": "a"}]},
    ]
    assert "\u4e16\u754c" in read({"contents": turns}).messages[0].content


def test_a_legacy_function_call_is_a_tool_call() -> None:
    call = {"name": "lookup", "arguments": "{}"}
    rows = [*said("a"), {"role": "assistant", "function_call": call}]
    example = read({"messages": rows, "functions": [{"name": "lookup"}]})
    calls = json.loads(example.messages[1].tool_calls)
    assert calls == [{"type": "function", "function": call}]
    assert json.loads(example.tools) == [{"name": "lookup"}]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("{", "bad_json"),
        ("[1]", "wrong_type"),
        ("[" * 99, "too_deep"),
        (3, "wrong_type"),
        ([], "wrong_type"),
    ],
)
def test_arguments_that_are_no_json_object_are_refused(
    arguments: object, code: str
) -> None:
    call = {"function": {"name": "lookup", "arguments": arguments}}
    row = {"messages": [{"role": "assistant", "tool_calls": [call]}]}
    place = "messages[0].tool_calls[0].function.arguments"
    assert fault(row) == (code, place)


@pytest.mark.parametrize("arguments", ["", None, {}])
def test_a_call_without_arguments_has_an_empty_object(arguments: object) -> None:
    call = {"function": {"name": "lookup", "arguments": arguments}}
    example = read({"messages": [{"role": "assistant", "tool_calls": [call]}]})
    (made,) = json.loads(example.messages[0].tool_calls)
    assert made["function"] == {"name": "lookup", "arguments": "{}"}
