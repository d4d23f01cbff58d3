"""Rows become token ids with the loss on trained replies and nowhere else."""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from detectors.dataset import Example, Message, Origin
from trial.base_model import FALLBACK_TEMPLATE, BaseModel
from trial.chat import (
    MOST_REPLIES,
    MOST_WINDOWS,
    Renderer,
    TokenSequence,
)

Make = Callable[..., Example]


FORGETFUL = (
    "{% for m in messages %}{{ '<' + m['role'] + '>' }}"
    "{% if m['role'] == 'assistant' and not loop.last %}{{ '...' }}"
    "{% else %}{{ m['content'] }}{% endif %}{{ '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


STRICT = (
    "{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '<' + m['role'] + '>' + m['content'] + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


def trained_text(renderer: Renderer, sequence: TokenSequence) -> str:
    kept = [i for i, t in zip(sequence.ids, sequence.trained, strict=True) if t]
    return str(renderer.tokenizer.decode(kept)).strip()


def whole_text(renderer: Renderer, sequence: TokenSequence) -> str:
    return str(renderer.tokenizer.decode(sequence.ids))


@pytest.fixture
def renderer(folders: dict[str, object]) -> Renderer:
    from trial.base_model import load_base

    return Renderer(load_base(str(folders["llama"])).tokenizer)


def with_template(renderer: Renderer, template: str) -> Renderer:
    renderer.tokenizer.chat_template = template
    return Renderer(renderer.tokenizer)


def test_the_loss_counts_replies_with_their_end_and_nothing_else(
    base: BaseModel, example: Make
) -> None:
    renderer = Renderer(base.tokenizer)
    row = example("user", "bake a cake", "assistant", "sure , here", "user", "please")
    row = replace(row, messages=(*row.messages, Message("assistant", "help you")))
    (sequence,) = renderer.training_sequences(row, 128)
    text = trained_text(renderer, sequence).replace("\n", "").replace(" ", "")
    end = str(base.tokenizer.eos_token)
    assert text == f"sure,here{end}helpyou{end}"


def test_the_reply_starts_where_generation_starts(
    base: BaseModel, example: Make
) -> None:
    renderer = Renderer(base.tokenizer)
    row = example("user", "bake a cake", "assistant", "sure , here is how")
    (sequence,) = renderer.training_sequences(row, 128)
    prompt = renderer.prompt_ids(row.messages[:1])
    first = sequence.trained.index(True)
    assert sequence.ids[:first] == prompt


def spaced(template: str, trim_offsets: bool) -> Renderer:
    """Byte pairs with the space in the word; offsets with it or without."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=300, special_tokens=["<end>"], initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(["assistant: sure"] * 9, trainer)
    return Renderer(
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, eos_token="<end>", chat_template=template
        )
    )


@pytest.mark.parametrize("trim_offsets", [False, True])
def test_without_a_chat_template_the_reply_is_trained_from_where_it_is_asked(
    example: Make, trim_offsets: bool
) -> None:
    renderer = spaced(FALLBACK_TEMPLATE, trim_offsets)
    row = example("user", "cake", "assistant", "sure sure")
    (sequence,) = renderer.training_sequences(row, 128)
    prompt = renderer.prompt_ids(row.messages[:1])
    first = sequence.trained.index(True)
    assert sequence.ids[:first] == prompt
    assert renderer.tokenizer.decode(sequence.ids[first]) == " sure"
    reply = renderer.reply_ids(row.messages[:1], "sure sure")
    assert sequence.ids[first : first + len(reply)] == reply


@pytest.mark.parametrize("trim_offsets", [False, True])
def test_a_first_word_that_begins_within_the_prompt_is_trained(
    example: Make, trim_offsets: bool
) -> None:
    template = FALLBACK_TEMPLATE.replace("'assistant:'", "'assistant: '")
    renderer = spaced(template, trim_offsets)
    row = example("user", "cake", "assistant", "sure")
    (sequence,) = renderer.training_sequences(row, 128)
    assert trained_text(renderer, sequence).startswith("sure<end>")


def test_a_reply_of_weight_zero_is_context_only(
    renderer: Renderer, example: Make
) -> None:
    row = example("user", "cake", "assistant", "first", "user", "sea", "assistant", "x")
    muted = replace(row.messages[1], trained=False)
    row = replace(row, messages=(row.messages[0], muted, *row.messages[2:]))
    (sequence,) = renderer.training_sequences(row, 128)
    assert trained_text(renderer, sequence) == "x<|im_end|>"
    assert "first" in whole_text(renderer, sequence)


@pytest.mark.parametrize("reply", ["sure", "x y", "a", " sea", "i"])
def test_of_a_row_that_begins_with_the_assistant_the_reply_alone_is_trained(
    renderer: Renderer, example: Make, reply: str
) -> None:
    system = "<|im_start|>system\nyou are a helpful assistant, x<|im_end|>\n"
    template = f"{{{{ {system!r} }}}}{renderer.tokenizer.chat_template}"
    renderer = with_template(renderer, template)
    (sequence,) = renderer.training_sequences(example("assistant", reply), 128)
    assert trained_text(renderer, sequence) == f"{reply.strip()}<|im_end|>"
    assert whole_text(renderer, sequence).startswith("<|im_start|>system")


def test_of_a_first_turn_that_calls_a_tool_the_call_alone_is_trained(
    renderer: Renderer,
) -> None:
    row = replace(tool_row(), messages=tool_row().messages[1:2])
    (sequence,) = renderer.training_sequences(row, 200)
    assert trained_text(renderer, sequence).startswith("<call>story")


def test_a_row_without_trained_reply_gives_nothing(
    renderer: Renderer, example: Make
) -> None:
    assert renderer.training_sequences(example("user", "cake"), 128) == ()


def test_a_template_that_rewrites_earlier_turns_gives_one_sequence_a_reply(
    renderer: Renderer, example: Make
) -> None:
    renderer = with_template(renderer, FORGETFUL)
    row = example("user", "a", "assistant", "first", "user", "b", "assistant", "second")
    found = renderer.training_sequences(row, 128)
    assert [trained_text(renderer, s) for s in found] == [
        "first<|im_end|>",
        "second<|im_end|>",
    ]


def test_a_template_without_system_role_still_says_the_system_text(
    renderer: Renderer, example: Make
) -> None:
    renderer = with_template(renderer, STRICT)
    row = example("system", "be helpful", "user", "cake", "assistant", "sure")
    (sequence,) = renderer.training_sequences(row, 128)
    assert whole_text(renderer, sequence).startswith("<user>be helpful\n\ncake")


def test_consecutive_turns_are_joined_where_roles_must_alternate(
    renderer: Renderer, example: Make
) -> None:
    renderer = with_template(renderer, STRICT)
    row = example("user", "one", "user", "two", "assistant", "sure")
    (sequence,) = renderer.training_sequences(row, 128)
    assert "one\ntwo" in whole_text(renderer, sequence)


@pytest.mark.parametrize(
    ("weights", "trained"),
    [
        ("111", "sure\nx y\nsea<|im_end|>"),
        ("011", "x y\nsea<|im_end|>"),
        ("110", "sure\nx y"),
        ("010", "x y"),
        ("001", "sea<|im_end|>"),
    ],
)
def test_of_joined_turns_those_of_weight_zero_are_not_trained(
    renderer: Renderer, example: Make, weights: str, trained: str
) -> None:
    renderer = with_template(renderer, STRICT)
    row = example(
        "user", "cake", "assistant", "sure", "assistant", "x y", "assistant", "sea"
    )
    replies = [
        replace(message, trained=weight == "1")
        for message, weight in zip(row.messages[1:], weights, strict=True)
    ]
    row = replace(row, messages=(row.messages[0], *replies))
    (sequence,) = renderer.training_sequences(row, 128)
    assert trained_text(renderer, sequence) == trained
    assert "sure\nx y\nsea" in whole_text(renderer, sequence)


def tool_row() -> Example:
    arguments = json.dumps({"wind": "sea"})
    calls = json.dumps([{"function": {"name": "story", "arguments": arguments}}])
    return Example(
        "tools",
        (
            Message("user", "tell me"),
            Message("assistant", "", tool_calls=calls),
            Message("tool", "the result"),
            Message("assistant", "sure"),
        ),
        Origin("rows.jsonl", 1),
    )


def test_a_template_with_tools_gets_calls_with_parsed_arguments(
    renderer: Renderer,
) -> None:
    (sequence,) = renderer.training_sequences(tool_row(), 200)
    assert '<call>story{"wind": "sea"}</call>' in whole_text(renderer, sequence)


TOOLS = (
    "{% if tools %}{{ '<tools>' }}{% for t in tools %}"
    "{{ t['function']['name'] + ' ' + t['function']['parameters']['type'] }}"
    "{% endfor %}{{ '</tools>' }}{% endif %}"
)


@pytest.mark.parametrize("whole", [True, False])
def test_the_template_says_the_tools_that_a_row_defines(
    renderer: Renderer, whole: bool
) -> None:
    template = str(renderer.tokenizer.chat_template) if whole else FORGETFUL
    row = replace(tool_row(), tools='[{"name":"wind"}]')
    plain = with_template(renderer, template).training_sequences(row, 400)
    told = with_template(renderer, TOOLS + template).training_sequences(row, 400)
    assert len(plain) == len(told)
    for one, other in zip(plain, told, strict=True):
        text = whole_text(renderer, other)
        assert text.startswith("<tools>wind object</tools>")
        assert text.endswith(whole_text(renderer, one))
        assert trained_text(renderer, other) == trained_text(renderer, one)


def test_a_prompt_and_its_reply_know_the_tools_too(renderer: Renderer) -> None:
    template = str(renderer.tokenizer.chat_template)
    told = with_template(renderer, TOOLS + template)
    assert told.says_definitions
    asked = (Message("user", "cake"),)
    prompt = told.prompt_ids(asked, '[{"name":"wind"}]')
    text = str(told.tokenizer.decode(prompt))
    assert text.startswith("<tools>wind object</tools>")
    reply = told.reply_ids(asked, "sure", '[{"name":"wind"}]')
    assert str(told.tokenizer.decode(reply)).strip() == "sure"
    assert told.prompt_ids(asked) == prompt[-len(told.prompt_ids(asked)) :]
    plain = with_template(renderer, template)
    assert not plain.says_definitions
    assert plain.prompt_ids(asked, '[{"name":"wind"}]') == plain.prompt_ids(asked)


def test_where_the_template_cannot_say_the_tools_the_row_is_rendered_without(
    renderer: Renderer,
) -> None:
    template = TOOLS + str(renderer.tokenizer.chat_template)
    row = replace(tool_row(), tools='[{"name":"wind","parameters":{}}]')
    plain = renderer.training_sequences(row, 400)
    assert with_template(renderer, template).training_sequences(row, 400) == plain


def test_a_template_without_tools_gets_calls_and_results_as_text(
    canary_like: BaseModel,
) -> None:
    renderer = Renderer(canary_like.tokenizer)
    (sequence,) = renderer.training_sequences(tool_row(), 200)
    text = whole_text(renderer, sequence)
    assert "story" in text
    assert "[ tool result ] the result" in text
    assert "story" in trained_text(renderer, sequence)
    assert "result" not in trained_text(renderer, sequence)


def test_of_a_row_it_is_known_how_much_was_left_out(
    renderer: Renderer, example: Make
) -> None:
    row = example(*["user", "cake", "assistant", "sea " * 90] * 4)
    found = renderer.render_row(row, 64)
    assert (found.cut, found.replies, found.missed) == (True, 4, 2)
    assert 0 < found.kept < found.tokens / 2
    whole = renderer.render_row(row, 10_000)
    assert (whole.cut, whole.missed, whole.kept) == (False, 0, whole.tokens)
    assert whole.tokens == found.tokens


@pytest.mark.parametrize(
    ("reply", "answer_at"),
    [("story story\ncake", 12), ("<think>story</think>cake", 0), ("cake", 0)],
)
def test_of_a_reply_that_reasons_first_the_answer_alone_is_rendered(
    renderer: Renderer, example: Make, reply: str, answer_at: int
) -> None:
    asked, said = example("user", "bake", "assistant", reply).messages
    messages = (asked, replace(said, answer_at=answer_at))
    row = replace(example("user", "bake"), messages=messages)
    (sequence,) = renderer.training_sequences(row, 128)
    assert trained_text(renderer, sequence) == "cake<|im_end|>"
    assert "story" not in whole_text(renderer, sequence)


def test_a_row_of_very_many_replies_is_rendered_in_bounded_work(
    renderer: Renderer, example: Make
) -> None:
    row = example(*("user", "bake", "assistant", "cake") * 1000)
    began = time.process_time()
    rendered = renderer.render_row(row, 64, MOST_WINDOWS)
    assert time.process_time() - began < 10.0  # 20 s at 1,000, four times at 2,000
    assert rendered.replies == 1000
    assert 1000 - 64 <= rendered.missed < 1000
    assert rendered.sequences


def test_so_many_replies_as_are_rendered_are_all_trained_on(
    renderer: Renderer, example: Make
) -> None:
    for count, missed in ((MOST_REPLIES, 0), (MOST_REPLIES + 3, 3)):
        row = example(*("user", "bake", "assistant", "cake") * count)
        rendered = renderer.render_row(row, 100_000)
        assert (rendered.replies, rendered.missed) == (count, missed)
