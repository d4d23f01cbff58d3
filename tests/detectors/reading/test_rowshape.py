import json

import pytest

from detectors.dataset import Example, Message, Origin
from detectors.reading.fault import RowFault
from detectors.reading.limits import Limits
from detectors.reading.rowshape import MARKERS, SHAPES, read_row

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
ASKED = [("user", "hello"), ("assistant", "hi")]
ALL_SHAPES: dict[str, Row] = {
    "chat": {"messages": said("hello", "hi")},
    "openai_preference": {
        "input": {"messages": said("hello")},
        "preferred_output": [{"role": "assistant", "content": "hi"}],
        "non_preferred_output": [{"role": "assistant", "content": "go away"}],
    },
    "trl_preference": {"prompt": "hello", "chosen": "hi", "rejected": "go away"},
    "prompt_completion": {"prompt": "hello", "completion": "hi"},
    "alpaca": {"instruction": "hello", "input": "", "output": "hi"},
    "sharegpt": {
        "conversations": [
            {"from": "human", "value": "hello"},
            {"from": "gpt", "value": "hi"},
        ]
    },
    "gemini": {
        "contents": [
            {"role": "user", "parts": [{"text": "hello"}]},
            {"role": "model", "parts": [{"text": "hi"}]},
        ]
    },
}


@pytest.mark.parametrize("shape", ALL_SHAPES)
def test_every_shape_says_the_same_in_its_own_way(shape: str) -> None:
    example = read({**ALL_SHAPES[shape], "id": 9, "source": "web"})
    assert turns(example) == ASKED
    assert example.shape == shape
    assert example.origin.line == 3
    rejected = [("assistant", "go away")] if "preference" in shape else []
    assert [(m.role, m.content) for m in example.rejected] == rejected


def test_the_shapes_tried_here_and_text_are_all_there_are() -> None:
    assert {*ALL_SHAPES, "text"} == set(SHAPES) == set(MARKERS.values())


@pytest.mark.parametrize("one", ALL_SHAPES)
@pytest.mark.parametrize("other", ALL_SHAPES)
def test_a_row_of_two_shapes_is_refused(one: str, other: str) -> None:
    both = {**ALL_SHAPES[one], **ALL_SHAPES[other]}
    if one == other:
        assert read(both)
    else:
        assert fault(both) == ("ambiguous_shape", "")


def test_a_text_row_is_one_trained_reply_without_a_request() -> None:
    example = read({"text": "Once upon a time."})
    assert turns(example) == [("assistant", "Once upon a time.")]
    assert example.messages[0].trained
    (exchange,) = example.exchanges()
    assert exchange.request == ""


def test_a_weight_of_zero_is_kept_as_not_trained() -> None:
    rows = said("a", "b", "c", "d")
    rows[1]["weight"], rows[3]["weight"] = 0, 1
    assert [m.trained for m in read({"messages": rows}).messages] == [
        True,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("weight", [2, -1, 0.5, "0", True, False, [], {}])
def test_any_other_weight_is_refused(weight: object) -> None:
    rows = said("a", "b")
    rows[1]["weight"] = weight
    assert fault({"messages": rows}) == ("bad_weight", "messages[1].weight")


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


def test_transcripts_of_a_preference_are_split_and_share_their_start() -> None:
    start = "\n\nHuman: q\n\nAssistant: a\n\nHuman: q2\n\nAssistant:"
    example = read({"chosen": f"{start} yes", "rejected": f"{start} no"})
    assert turns(example) == [
        ("user", "q"),
        ("assistant", "a"),
        ("user", "q2"),
        ("assistant", "yes"),
    ]
    assert [m.content for m in example.rejected] == ["no"]
    assert read({"prompt": "p", "chosen": start, "rejected": "no"}).messages[1] == (
        Message("assistant", start)
    )


def test_a_transcript_is_split_though_the_other_one_has_no_reply() -> None:
    asked = "\n\nHuman: q\n\nAssistant:"
    example = read({"chosen": f"{asked} yes", "rejected": asked})
    assert turns(example) == [("user", "q"), ("assistant", "yes")]
    assert [m.content for m in example.rejected] == [asked]


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


def test_reasoning_and_refusals_that_a_trainer_would_learn_are_read() -> None:
    given = {"role": "assistant", "reasoning_content": "Hm.", "refusal": "I won't."}
    reply = read({"messages": [*said("a"), given]}).messages[1]
    assert (reply.content, reply.answer_at) == ("Hm.\nI won't.", 4)


def test_where_the_answer_begins_is_part_of_the_content_of_a_row() -> None:
    apart = {"role": "assistant", "reasoning": "Hm.", "content": "Yes."}
    joined = {"role": "assistant", "content": "Hm.\nYes."}
    one, other = (read({"messages": [*said("a"), r]}) for r in (apart, joined))
    assert one.messages[1].content == other.messages[1].content
    assert one.canonical() != other.canonical()


def test_parts_are_joined_and_what_cannot_be_judged_is_counted() -> None:
    parts = [
        {"type": "text", "text": "What is on "},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "text", "text": "?", "image_url": None},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
    ]
    rows = [{"role": "user", "content": parts}, *said("", "A cat.")[1:]]
    example = read({"messages": rows})
    assert example.messages[0].content == "What is on [image]?[audio]"
    assert example.messages[0].unjudged_parts == ("image", "audio")
    assert example.unjudged_parts == 2


@pytest.mark.parametrize(
    ("media", "count"),
    [
        ({"image": "cats/7.jpg"}, 1),
        ({"images": ["a.png", "b.png"]}, 2),
        ({"images": [], "audio": ""}, 0),
        ({"audios": [{"bytes": "00"}], "video": {"path": "v.mp4"}}, 2),
    ],
)
def test_media_beside_the_conversation_is_counted(media: Row, count: int) -> None:
    example = read({**ALL_SHAPES["sharegpt"], **media})
    assert example.unjudged_parts == count
    assert example.messages[0].content.count("[") == count


def test_media_named_in_a_part_and_beside_it_is_counted_once() -> None:
    parts = [{"type": "image"}, {"type": "text", "text": "what?"}]
    rows = [{"role": "user", "content": parts}, *said("", "A cat.")[1:]]
    assert read({"messages": rows, "images": ["a.png"]}).unjudged_parts == 1


def test_sharegpt_speakers_have_their_roles() -> None:
    names = {
        "system": "system",
        "human": "user",
        "function_call": "assistant",
        "observation": "tool",
        "function": "tool",
        "gpt": "assistant",
    }
    rows = [{"from": name, "value": name} for name in names]
    example = read({"conversations": rows, "system": "first", "tools": "[]"})
    assert turns(example)[0] == ("system", "first")
    assert [role for role, _ in turns(example)[1:]] == list(names.values())
    assert example.tools == ""


def test_sharegpt_turns_may_use_role_and_content_but_not_both_forms() -> None:
    assert turns(read({"conversations": said("hello", "hi")})) == ASKED
    turn = {"from": "gpt", "value": "a", "role": "assistant", "content": "b"}
    assert fault({"conversations": [turn]}) == ("ambiguous_turn", "conversations[0]")


def test_reasoning_and_calls_of_a_sharegpt_turn_are_read() -> None:
    turn = {"from": "gpt", "value": "Yes.", "thinking": "Hm.", "tool_calls": [CALL]}
    (reply,) = read({"conversations": [turn]}).messages
    assert (reply.content, reply.answer_at) == ("Hm.\nYes.", 4)
    assert json.loads(reply.tool_calls) == [CALL]
    named = {**turn, "name": "I obey every single order"}
    assert fault({"conversations": [named]}) == ("bad_name", "conversations[0].name")


def test_gemini_parts_of_every_kind_are_read() -> None:
    row: Row = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"inline_data": {"mime_type": "image/png", "data": ""}},
                    {"fileData": {"mimeType": "application/pdf", "fileUri": "u"}},
                    {"text": "look"},
                ],
            },
            {
                "role": "model",
                "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}],
            },
            {
                "role": "user",
                "parts": [{"functionResponse": {"name": "f", "response": {"a": 1}}}],
            },
            {"role": "model", "parts": [{"text": "Done."}]},
        ],
    }
    example = read(row)
    assert [m.role for m in example.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert example.messages[1].content == "[image][file]look"
    assert json.loads(example.messages[2].tool_calls) == [
        {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    ]
    assert example.unjudged_parts == 2


def test_alpaca_joins_input_and_keeps_system_and_history() -> None:
    row: Row = {
        "instruction": "Translate.",
        "input": "bonjour",
        "output": "hello",
        "system": "You translate.",
        "history": [["Ready?", "Yes."]],
    }
    assert turns(read(row)) == [
        ("system", "You translate."),
        ("user", "Ready?"),
        ("assistant", "Yes."),
        ("user", "Translate.\nbonjour"),
        ("assistant", "hello"),
    ]


def test_conversational_prompts_and_completions_are_read() -> None:
    row = {"prompt": said("hello"), "completion": said("", "hi")[1:]}
    assert turns(read(row)) == ASKED


@pytest.mark.parametrize("prompt", [{}, {"prompt": "hello"}, {"prompt": said("hello")}])
def test_a_prompt_that_the_replies_repeat_is_taken_once(prompt: Row) -> None:
    chosen, rejected = said("hello", "hi"), said("hello", "go away")
    example = read({**prompt, "chosen": chosen, "rejected": rejected})
    assert turns(example) == ASKED
    assert [(m.role, m.content) for m in example.rejected] == [("assistant", "go away")]


def test_equal_replies_leave_a_rejected_reply() -> None:
    same = said("hello", "hi")
    example = read({"chosen": same, "rejected": same})
    assert turns(example) == ASKED
    assert len(example.rejected) == 1


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
