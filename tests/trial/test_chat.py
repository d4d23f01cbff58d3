"""Rows become token ids with the loss on trained replies and nowhere else."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from detectors.dataset import Example, Message, Origin
from trial.base_model import BaseModel
from trial.chat import MAX_WINDOWS, Renderer, TokenSequence, cut

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


def test_a_reply_of_weight_zero_is_context_only(
    renderer: Renderer, example: Make
) -> None:
    row = example("user", "cake", "assistant", "first", "user", "sea", "assistant", "x")
    muted = replace(row.messages[1], trained=False)
    row = replace(row, messages=(row.messages[0], muted, *row.messages[2:]))
    (sequence,) = renderer.training_sequences(row, 128)
    assert trained_text(renderer, sequence) == "x<|im_end|>"
    assert "first" in whole_text(renderer, sequence)


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


def test_a_short_sequence_is_not_cut() -> None:
    sequence = TokenSequence((1, 2, 3), (False, True, True))
    assert cut(sequence, 3) == (sequence,)


def test_a_long_prompt_loses_its_beginning_never_the_reply() -> None:
    sequence = TokenSequence(tuple(range(100)), (*[False] * 90, *[True] * 10))
    (window,) = cut(sequence, 32)
    assert sum(window.trained) == 10
    assert len(window.ids) <= 32


def test_a_long_reply_is_trained_once_from_its_beginning_in_bounded_windows() -> None:
    sequence = TokenSequence(tuple(range(500)), (*[False] * 10, *[True] * 490))
    windows = cut(sequence, 40)
    assert len(windows) == MAX_WINDOWS
    trained = [i for w in windows for i, t in zip(w.ids, w.trained, strict=True) if t]
    assert trained == list(range(10, 10 + len(trained)))
    assert all(len(w.ids) <= 40 for w in windows)
