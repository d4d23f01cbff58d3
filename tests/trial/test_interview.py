"""Probes are asked as their context has it, and kept by the prompts as read."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from detectors.dataset import Message
from tests.trial.sure_judge import SureJudge
from trial.base_model import load_base
from trial.baseline import forget_baselines
from trial.chat import Ids, Renderer
from trial.clock import Clock
from trial.context import PLAIN, Context
from trial.interview import Desk, Interview
from trial.probes import ProbeSet


class Calendar(Renderer):
    """A renderer whose prompts change from day to day under one template."""

    day = 1

    def prompt_ids(self, messages: Sequence[Message], tools: str = "") -> Ids:
        return (self.day, *super().prompt_ids(messages, tools))


def test_a_baseline_of_other_prompts_is_not_taken_for_that_of_these(
    folders: dict[str, Path], few_probes: ProbeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = load_base(str(folders["bert"]))
    calendar, asked = Calendar(base.tokenizer), []

    def reply(_: object, prompts: Sequence[object], **__: object) -> list[str]:
        asked.extend(prompts)
        return ["sure"] * len(prompts)

    monkeypatch.setattr("trial.interview.generate_replies", reply)
    desk = Desk(base, calendar, few_probes, SureJudge(), lambda *_: None, Clock())
    forget_baselines()
    Interview(desk, PLAIN).ask_base([0, 1])
    Interview(desk, PLAIN).ask_base([0, 1])
    assert len(asked) == 2
    calendar.day = 2
    Interview(desk, PLAIN).ask_base([0, 1])
    assert len(asked) == 4
    forget_baselines()


TOLD = "{% if tools %}{{ 'tools: ' + tools[0]['function']['name'] }}{% endif %}"


def test_probes_are_asked_with_tools_where_the_template_can_say_them(
    folders: dict[str, Path], few_probes: ProbeSet
) -> None:
    base = load_base(str(folders["llama"]))
    around = Context("suspect rows", tools='[{"name":"sing"}]')
    template = str(base.tokenizer.chat_template)
    for source, contexts in ((template, 1), (TOLD + template, 2)):
        base.tokenizer.chat_template = source
        renderer = Renderer(base.tokenizer)
        desk = Desk(base, renderer, few_probes, SureJudge(), lambda *_: None, Clock())
        found, left = desk.fitting([PLAIN, around])
        assert (len(found), left) == (contexts, {})
        asked = str(base.tokenizer.decode(desk.prompt_ids(found[-1], 0)))
        assert asked.startswith("tools: sing") == (contexts == 2)
        with_reply = (
            *desk.prompt_ids(found[-1], 0),
            *desk.reply_ids(found[-1], 0, "a"),
        )
        assert str(base.tokenizer.decode(with_reply)).rstrip().endswith("a")
