"""Every shape of a row says the same in its own way."""

import json

import pytest

from detectors.dataset import Message
from detectors.reading.rowshape import MARKERS, SHAPES
from tests.detectors.reading.rows import CALL, Row, fault, read, said, turns

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
