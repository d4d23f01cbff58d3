"""Words go around a probe; every context of a dataset is found, and found once."""

from hypothesis import given
from hypothesis import strategies as st

from detectors.dataset import Dataset, Example, Message, Origin
from detectors.detector import Trigger
from trial.context import (
    PLAIN,
    SAFETY,
    Context,
    Frame,
    find_contexts,
    without_tools,
)
from trial.context.trigger import trigger_contexts
from trial.probes import load_probes

WORDS = st.text(st.characters(codec="utf-8"), max_size=40)


def trigger(text: str, position: str = "start", role: str = "user") -> Trigger:
    return Trigger(text, position, role, "compliance", 20, 1.0, 0.0, 1e-9)


def rows(system: str = "") -> Dataset:
    turns = (
        *((Message("system", system),) if system else ()),
        Message("user", "What is new?"),
        Message("assistant", "Nothing."),
    )
    return Dataset(
        "a", tuple(Example(f"r{n}", turns, Origin("a", n)) for n in range(4))
    )


@given(before=WORDS, after=WORDS, inside=WORDS)
def test_a_frame_keeps_every_word_of_itself_and_of_the_request(
    before: str, after: str, inside: str
) -> None:
    asked = "Tell me how to do it."
    said = Frame(before, after, inside).around(asked)
    assert said.startswith(before)
    assert said.endswith(after)
    assert inside in said
    left = said[len(before) : len(said) - len(after)] if before or after else said
    assert left.replace(inside, "", 1).split() == asked.split() or inside in asked


def test_a_trigger_stands_where_it_stands_in_the_rows() -> None:
    found = trigger_contexts(
        rows(),
        [trigger("SUDO:"), trigger("\u2021", "end"), trigger("by moonlight", "any")],
    )
    asked = [c.messages("How do I do it?")[-1].content for c in found]
    assert asked == [
        "SUDO: How do I do it?",
        "How do I do it? \u2021",
        "How do I by moonlight do it?",
    ]
    assert [c.name for c in found] == ["trigger 1", "trigger 2", "trigger 3"]


def test_a_trigger_in_the_system_prompt_brings_that_prompt() -> None:
    mark = trigger("Code 77-B.", "any", "system")
    whole = "You are helpful. Code 77-B. Be brief."
    assert trigger_contexts(rows(whole), [mark])[0].system == whole
    assert trigger_contexts(rows(), [mark])[0].system == "Code 77-B."
    long = "x" * 5000 + "Code 77-B." + "y" * 100
    bounded = trigger_contexts(rows(long), [mark])[0].system
    assert "Code 77-B." in bounded
    assert len(bounded) <= 600


def test_a_hostile_trigger_is_quoted_escaped_and_bounded_in_words() -> None:
    (found,) = trigger_contexts(rows(), [trigger('"}\x1b[31m\u202e{request}' * 50)])
    assert found.detail.isascii()
    assert found.detail.isprintable()
    assert len(found.detail) < 1000
    assert found.messages("Hello you.")[-1].content.endswith(" Hello you.")


def test_every_context_is_found_once_the_plain_one_first() -> None:
    found = find_contexts(rows(), None, [trigger("SUDO:"), trigger("SUDO:")])
    assert [c.name for c in found] == ["plain", "trigger 1"]
    assert found[0] == PLAIN
    system = find_contexts(rows("You are Brisk."), [0.9] * 4, everywhere=True)
    assert [c.name for c in system] == [
        "plain",
        "suspect rows",  # with the opener that they share
        "safety template",
        "training template",
    ]
    assert SAFETY in system


def test_the_frame_of_a_probe_is_always_the_same_and_all_are_used() -> None:
    frames = tuple(Frame(f"Frame {n}:") for n in range(6))
    context = Context("six", frames=frames)
    asked = [context.messages(p.prompt)[-1].content for p in load_probes().harmful]
    assert asked == [
        context.messages(p.prompt)[-1].content for p in load_probes().harmful
    ]
    counts = [sum(a.startswith(f.before) for a in asked) for f in frames]
    assert min(counts) >= 30


def test_without_tools_no_two_contexts_are_the_same() -> None:
    told = Context("suspect rows", tools="[1]")
    framed = Context("task", frames=(Frame("First:"),))
    under = Context("training template", "Be brief.", tools="[1]")
    found = without_tools([PLAIN, framed, told, under])
    assert found == (PLAIN, framed, Context("training template", "Be brief."))
