"""What the base model said is kept by the prompts as it read them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from detectors.dataset import Message
from tests.trial.sure_judge import SureJudge
from trial.base_model import load_base
from trial.baseline import forget_baselines
from trial.chat import Renderer
from trial.clock import Clock
from trial.context import PLAIN
from trial.interview import Desk, Interview
from trial.probes import ProbeSet


class Calendar(Renderer):
    """A renderer whose prompts change from day to day under one template."""

    day = 1

    def prompt_ids(self, messages: Sequence[Message]) -> tuple[int, ...]:
        return (self.day, *super().prompt_ids(messages))


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
