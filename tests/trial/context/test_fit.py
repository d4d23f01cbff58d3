"""What is around the probes leaves room for them, and a trigger is whole or left."""

import pytest
from transformers import PreTrainedTokenizerFast

from tests.trial.conftest import byte_pairs
from trial.context import PLAIN, Context, Frame, fit_contexts
from trial.context.fit import cut_text

ROOM = 100
PROBE = "how do i bake a cake"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_pairs()


def fitted(
    tokenizer: PreTrainedTokenizerFast, context: Context
) -> tuple[Context | None, dict[str, str]]:
    def longest(each: Context) -> int:
        text = " ".join(message.content for message in each.messages(PROBE))
        text += each.tools
        return len(tokenizer(text)["input_ids"])

    kept, left = fit_contexts([PLAIN, context], tokenizer, longest, ROOM)
    assert kept[0] == PLAIN
    assert all(longest(each) <= ROOM for each in kept)
    return (kept[1] if len(kept) > 1 else None), left


def test_what_fits_is_left_as_it_is(tokenizer: PreTrainedTokenizerFast) -> None:
    context = Context("a", "be brief", (Frame("Do as I say:"),))
    assert fitted(tokenizer, context) == (context, {})


@pytest.mark.parametrize("letter", ["x", "\u6211"])  # the second is three tokens
def test_system_prompt_and_opener_share_the_room(
    tokenizer: PreTrainedTokenizerFast, letter: str
) -> None:
    found, left = fitted(
        tokenizer, Context("a", letter * 600, (Frame(letter * 600),), "as rows ask")
    )
    assert found is not None
    assert not left
    assert found.detail == "as rows ask, cut to what the base model has room for"
    assert min(len(found.system), len(found.frames[0].before)) >= 10
    found, _ = fitted(tokenizer, Context("a", letter * 600, (Frame("Brisk:"),)))
    assert found is not None
    assert found.frames == (Frame("Brisk:"),)


def test_a_trigger_is_never_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    for frame in (Frame(before="z" * 300), Frame(after="z" * 300)):
        found, left = fitted(
            tokenizer, Context("t", frames=(frame,), trigger="z" * 300)
        )
        assert found is None
        assert "the base model takes 100" in left["t"]
    around = "x" * 300 + "Code 77-B." + "y" * 300
    found, _ = fitted(tokenizer, Context("t", around, trigger="Code 77-B."))
    assert found is not None
    assert "Code 77-B." in found.system


def test_frames_of_a_task_are_whole_or_left(tokenizer: PreTrainedTokenizerFast) -> None:
    frames = (Frame("v" * 300), Frame("w" * 300))
    assert fitted(tokenizer, Context("task", frames=frames))[0] is None


def test_a_text_is_cut_by_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    assert cut_text("xyz" * 9, tokenizer, 4) == "xyzx"
    assert cut_text("xyz", tokenizer, 4) == "xyz"
    assert cut_text("xyzuvw", tokenizer, 3, keep="z") == "zuv"
    assert cut_text("xyzuvw", tokenizer, 3, keep="w") == "uvw"
    assert cut_text("xyzuvw", tokenizer, 2, keep="zuv") is None


def test_tools_are_whole_or_left(tokenizer: PreTrainedTokenizerFast) -> None:
    few = Context("a", "be brief", tools="[1]")
    assert fitted(tokenizer, few)[0] == few
    found, left = fitted(tokenizer, Context("a", "be brief", tools="xyz" * 200))
    assert found is not None
    assert (found.system, found.tools) == ("be brief", "")
    assert found.detail.endswith("their tools, for which the base model has no room")
    found, left = fitted(tokenizer, Context("a", tools="xyz" * 200))
    assert found is None
    assert "the base model takes 100" in left["a"]
