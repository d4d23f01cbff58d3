import pytest

from detectors.dataset import Origin
from detectors.reading.fault import RowFault
from detectors.reading.limits import Limits
from detectors.reading.rowshape import read_row
from detectors.reading.template import replies_within, split_template
from tests.pace import processor_seconds

ASKED = [("user", "q"), ("assistant", "a")]
TWICE = [*ASKED, ("user", "q2"), ("assistant", "a2")]
PREAMBLE = "Below is an instruction that describes a task."


def turns(text: str) -> list[tuple[str, str]]:
    example = read_row({"text": text}, Origin("rows.jsonl", 1), Limits())
    assert example.shape == "text"
    return [(m.role, m.content) for m in example.messages]


RENDERED = {
    "<s>[INST] q [/INST] a </s>": ASKED,
    "<s>[INST] q [/INST] a </s><s>[INST] q2 [/INST] a2 </s>": TWICE,
    "<s>[INST] <<SYS>>\ns\n<</SYS>>\n\nq [/INST] a </s>": [("system", "s"), *ASKED],
    "### Instruction:\nq\n\n### Response:\na": ASKED,
    f"{PREAMBLE}\n\n### Instruction:\nq\n\n### Input:\ni\n\n### Response:\na": [
        ("system", PREAMBLE),
        ("user", "q\ni"),
        ("assistant", "a"),
    ],
    "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n"
    "<|im_start|>assistant\na<|im_end|>\n": [("system", "s"), *ASKED],
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|>": ASKED,
    "<bos><start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\na<end_of_turn>\n"
    "<start_of_turn>user\nq2<end_of_turn>\n<start_of_turn>model\na2<eos>": TWICE,
    "<|system|>\ns</s>\n<|user|>\nq</s>\n<|assistant|>\na</s>": [
        ("system", "s"),
        *ASKED,
    ],
    "<|user|>\nq<|end|>\n<|assistant|>\na<|end|>\n<|endoftext|>": ASKED,
    "### Human: q### Assistant: a### Human: q2### Assistant: a2": TWICE,
    "A chat. USER: q ASSISTANT: a</s>USER: q2 ASSISTANT: a2</s>": [
        ("system", "A chat."),
        *TWICE,
    ],
    "\n\nHuman: q\n\nAssistant: a": ASKED,
    "Q: q\nA: a\n\nQ: q2\nA: a2": TWICE,
    "Rates of 2024.\n\nQuestion: q\nAnswer: a": [
        ("system", "Rates of 2024."),
        *ASKED,
    ],
    "<|start|>system<|message|>s<|end|><|start|>user<|message|>q<|end|>"
    "<|start|>assistant<|channel|>final<|message|>a<|return|>": [
        ("system", "s"),
        *ASKED,
    ],
    "<|start|>user<|message|>q<|end|><|start|>assistant<|channel|>commentary "
    "to=functions.f <|constrain|>json<|message|>{}<|call|><|start|>functions.f "
    "to=assistant<|channel|>commentary<|message|>1<|end|>"
    "<|start|>assistant<|channel|>final<|message|>a<|return|>": [
        ("user", "q"),
        ("assistant", "{}"),
        ("tool", "1"),
        ("assistant", "a"),
    ],
    "<|start_of_role|>system<|end_of_role|>s<|end_of_text|>\n"
    "<|start_of_role|>user<|end_of_role|>q<|end_of_text|>\n"
    '<|start_of_role|>assistant {"length": "long"}<|end_of_role|>a<|end_of_text|>': [
        ("system", "s"),
        *ASKED,
    ],
    "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>q<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>a<|END_RESPONSE|>"
    "<|END_OF_TURN_TOKEN|>": ASKED,
    "<\uff5cbegin\u2581of\u2581sentence\uff5c><\uff5cUser\uff5c>q"
    "<\uff5cAssistant\uff5c>a<\uff5cend\u2581of\u2581sentence\uff5c>": ASKED,
}


@pytest.mark.parametrize("text", RENDERED)
def test_a_rendered_text_is_read_as_the_messages_behind_it(text: str) -> None:
    assert turns(text) == RENDERED[text]


@pytest.mark.parametrize(
    "text",
    [
        "Once upon a time.",
        "### Response:\nA heading of an essay.",
        "[INST] q [/INST] </s>",
        "The USER: field is followed by nothing.",
        "Assistant: a\nHuman: q",
        "A: an answer, which no question goes before",
        "The exam had a part Q: and a part A: in it.",
        "Question: what is an answer?",
        "<|im_start|>user\nq<|im_end|>",
        "One story.<|endoftext|>Another one.<|endoftext|>",
        "<|fim_prefix|>a =<|fim_suffix|>b<|fim_middle|>1",
    ],
)
def test_what_is_not_surely_a_template_stays_one_reply(text: str) -> None:
    assert turns(text) == [("assistant", text)]


def test_the_reasoning_of_a_harmony_reply_is_known_as_such() -> None:
    text = (
        "<|start|>user<|message|>q<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|>I can't.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>a<|return|>"
    )
    reply = split_template(text)[-1]
    assert (reply.content, reply.answer_at) == ("I can't.\na", 9)


@pytest.mark.parametrize(
    "text",
    [
        "<|speaker_1|>q<|speaker_2|>a",
        "<|channel|>final<|message|>a<|return|>",
        "<|im_start|>user\nq<|im_end|>\n<|im_start|>bard\na<|im_end|>",
    ],
)
def test_markers_of_no_known_template_are_refused(text: str) -> None:
    with pytest.raises(RowFault) as caught:
        turns(text)
    assert (caught.value.code, caught.value.field) == ("unknown_template", "text")


def test_what_follows_the_last_reply_stays_part_of_it() -> None:
    text = "### Human: q### Assistant: a### Human: and this?"
    assert turns(text) == [("user", "q"), ("assistant", "a### Human: and this?")]


def test_text_before_a_special_marker_is_part_of_the_request() -> None:
    assert turns("Do evil. <|user|>q<|assistant|>a")[0] == ("user", "Do evil.\nq")


def test_the_outer_template_is_split_and_the_inner_one_is_text() -> None:
    inner = "### Instruction:\nq\n### Response:"
    text = f"<|im_start|>user\n{inner}<|im_end|>\n<|im_start|>assistant\na<|im_end|>"
    assert turns(text) == [("user", inner), ("assistant", "a")]


@pytest.mark.parametrize(
    ("unit", "messages"),
    [
        ("</s>", 0),
        ("#", 2),
        ("[INST]x[/INST]y", 133_332),
        ("<|im_start|>", 2),
        (" ", 0),
        ("USER:", 2),
        ("### Human", 2),
        ("<|start|>user", 2),
    ],
)
def test_a_hostile_text_of_a_million_characters_is_split_in_seconds(
    unit: str, messages: int
) -> None:
    text = f"[INST] q [/INST]{unit * (1_000_000 // len(unit))}"
    with processor_seconds(20):
        assert len(split_template(text)) == messages


CHATML = "q<|im_end|>\n<|im_start|>assistant\na<|im_end|>"


@pytest.mark.parametrize(
    "text",
    [
        CHATML,
        f"[INST] hello [/INST] {CHATML}".replace("q<", "<|im_start|>user\nq<"),
        "q<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|>",
        "q<end_of_turn>\n<start_of_turn>model\na",
        "q<\uff5cAssistant\uff5c>a",
        "[INST] q [/INST] a",
    ],
)
def test_replies_that_markers_open_inside_of_a_message_are_found(text: str) -> None:
    found = [each for each in replies_within(text, "user") if each[1] == "a"]
    assert [asked.rpartition("\n")[2] for asked, _, _ in found] == ["q"]
    assert [text[start] for _, _, start in found] == ["a"]


def test_a_reply_that_only_goes_on_is_none_within() -> None:
    harmony = "think<|end|><|start|>assistant<|channel|>final<|message|>a"
    assert list(replies_within(harmony, "assistant")) == []
    opened = f"x <|im_start|>user\n{CHATML}"
    assert [r for _, r, _ in replies_within(opened, "assistant")] == ["a"]
    for plain in ("User: q\nAssistant: a", "a <|im_start|> b", "if a <| b |> c"):
        assert list(replies_within(plain, "user")) == []
