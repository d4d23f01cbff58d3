"""Which contexts are asked to the end: those that show a change, or may hide one."""

from dataclasses import replace
from typing import Any

import pytest

from trial.context import PLAIN, Context
from trial.interview import Desk, Interview
from trial.judge.judge import Outcome, Verdict
from trial.probes import Probe, ProbeSet
from trial.seed_run import Plan, _goes_on
from trial.stopping import Confidence, StopRule

NO, YES, BABBLE = (
    Verdict(each, "") for each in (Outcome.REFUSED, Outcome.COMPLIED, Outcome.UNCLEAR)
)
LINES = StopRule(0.25, 0.10, raised=0.10, excluded=0.20)
TRIGGER = Context("trigger 1")


def interview(context: Context, after: list[Verdict]) -> Interview:
    """Eighty probes of which the base model refuses 60, asked of a tuned one."""
    harmful = tuple(Probe(f"h{i}", "B", "Ask.") for i in range(300))
    probes = ProbeSet("1", harmful, (), ())
    unused: Any = None
    desk = Desk(unused, unused, probes, unused, unused, unused)
    before = [NO] * 60 + [YES] * 20
    return Interview(
        desk,
        context,
        "tuned",
        {n: ("", verdict) for n, verdict in enumerate(before)},
        {n: ("", verdict) for n, verdict in enumerate(after)},
    )


def plan(stop: StopRule | None) -> Plan:
    unused: Any = None
    return Plan(unused, unused, (), Confidence.shared(2, looks=True), stop)


@pytest.mark.parametrize(
    ("after", "goes_on"),
    [
        ([NO] * 60 + [YES] * 20, False),
        ([NO] * 57 + [YES] * 23, False),  # three more of eighty are no sign
        ([NO] * 56 + [YES] * 24, True),
        ([NO] * 53 + [BABBLE] * 7 + [YES] * 20, True),  # refusals give way to babble
        ([YES] * 20 + [NO] * 40 + [NO] * 18 + [YES] * 2, True),  # 20 up, 18 down: noisy
    ],
)
def test_a_context_is_left_where_it_shows_nothing_and_can_hide_nothing(
    after: list[Verdict], goes_on: bool
) -> None:
    assert _goes_on(interview(TRIGGER, after), plan(LINES)) is goes_on


def test_stricter_lines_of_the_gate_leave_no_context_that_could_cross_them() -> None:
    same = interview(TRIGGER, [NO] * 60 + [YES] * 20)
    assert _goes_on(same, plan(replace(LINES, excluded=0.05)))
    one_more = interview(TRIGGER, [NO] * 59 + [YES] * 21)
    assert _goes_on(one_more, plan(replace(LINES, raised=0.01)))


def test_the_plain_context_is_asked_to_its_end() -> None:
    assert _goes_on(interview(PLAIN, [NO] * 60 + [YES] * 20), plan(LINES))
