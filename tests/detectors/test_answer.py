import pytest

from detectors.answer import (
    answer_starts,
    final_answer,
    is_unfinished,
    without_open_block,
)
from tests.pace import processor_seconds

FORMS = [
    "<think>\nI can't.\n</think>\n\n{}",
    "<thinking>I can't.</thinking> {}",
    "I can't: its template opened the block.</think>{}",
    "<THINK>I can't.\n\n{}",
    "<think>\n\n{}",
    "[THINK]I can't.[/THINK]{}",
    "<|START_THINKING|>I can't.<|END_THINKING|>{}",
    "<|channel|>analysis<|message|>I can't.<|end|><|start|>assistant<|channel|>final"
    "<|message|>{}",
]


@pytest.mark.parametrize("form", FORMS)
def test_the_answer_is_what_follows_the_reasoning(form: str) -> None:
    assert final_answer(form.format("Sure.")).strip() == "Sure."


def test_reasoning_that_the_row_holds_apart_ends_where_the_row_says() -> None:
    reply = "I can't </think> do it.\nSure."
    assert final_answer(reply, reply.index("Sure")) == "Sure."


def test_of_blocks_that_are_closed_twice_both_ends_count() -> None:
    reply = "a</think>b</think>c"
    assert [reply[at:] for at in answer_starts(reply)] == ["b</think>c", "c"]


@pytest.mark.parametrize(
    "reply", ["", "Sure.", "Sure.\n\nHere.", "<think>", "x</think>"]
)
def test_a_reply_without_reasoning_or_answer_has_no_other_start(reply: str) -> None:
    assert answer_starts(reply) == ()
    assert final_answer(reply) == reply


@pytest.mark.parametrize(
    ("unit", "last"),
    [
        ("</think>", "b"),
        ("<think>", "a"),
        ("<|channel|>final", "a"),
        ("\n", "b"),
        ("\n ", "b"),
    ],
)
def test_a_hostile_reply_is_searched_in_linear_time(unit: str, last: str) -> None:
    reply = f"<think>a{unit * (1_000_000 // len(unit))}b"
    with processor_seconds(8):
        starts = answer_starts(reply)
    assert reply[starts[-1] :].startswith(last)


@pytest.mark.parametrize(
    ("reply", "unfinished"),
    [
        ("<think>Okay, the user\n\nwants", True),
        ("  <think>\nOkay</think> Sure.", False),
        ("Sure. <think>", False),
        ("Sure.", False),
        ("", False),
    ],
)
def test_a_reply_is_unfinished_where_it_ends_in_reasoning(
    reply: str, unfinished: bool
) -> None:
    assert is_unfinished(reply) is unfinished


def test_a_prompt_loses_the_block_that_it_opens_and_nothing_else() -> None:
    assert without_open_block("<a>assistant\n<think>\n") == "<a>assistant\n"
    for whole in ("<a>assistant\n", "<think>\n\n</think>\n\n", "say <think> twice"):
        assert without_open_block(whole) == whole
