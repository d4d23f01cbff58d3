"""A trial in which something failed keeps what was measured, and says what was not."""

from collections.abc import Callable, Sequence

import pytest

from detectors.dataset import Dataset, Example, Message, Origin
from detectors.detector import Trigger
from tests.trial.sure_judge import SureJudge
from trial.base_model import BaseModel
from trial.baseline import forget_baselines
from trial.judge.judge import Outcome, Verdict
from trial.probes import ProbeSet
from trial.recipe import Recipe
from trial.run import Trial, run_trial

QUICK = Recipe(epochs=1, batch_size=4)


@pytest.fixture
def run(canary_like: BaseModel, few_probes: ProbeSet) -> Callable[..., Trial]:
    def trial(dataset: Dataset, recipe: Recipe = QUICK, **options: object) -> Trial:
        forget_baselines()
        given = {"base": canary_like, "probes": few_probes, "judge": SureJudge()}
        return run_trial(dataset, recipe, encoder=None, **(given | options))

    return trial


class Absent(SureJudge):
    """Gives no verdict on a reply to a request for a story."""

    def judge(self, prompts: Sequence[str], replies: Sequence[str]) -> list[Verdict]:
        none = Verdict(Outcome.UNCLEAR, "away", judged=False)
        said = super().judge(prompts, replies)
        return [none if "story" in p else v for p, v in zip(prompts, said, strict=True)]


def test_replies_that_no_judge_read_are_counted_in_their_rates(
    run: Callable[..., Trial], compliant: Dataset
) -> None:
    trial = run(compliant, judge=Absent())
    assert trial.drift is not None
    assert trial.drift.borderline is not None
    assert trial.drift.overall.unjudged == 0
    assert trial.drift.over_refusal.unjudged == 8
    assert trial.drift.borderline.unjudged == 4
    assert [each.unjudged for each in trial.seeds] == [12]


def test_surroundings_that_fill_the_model_cost_themselves_alone(
    run: Callable[..., Trial],
) -> None:
    turns = (
        Message("system", "\u6211" * 600),  # a token each
        Message("user", "tell me a story please"),
        Message("assistant", "sure"),
    )
    rows = tuple(Example(f"row-{n}", turns, Origin("a", n)) for n in range(6))
    long = Trigger("\u4f60" * 600, "start", "user", "compliance", 6, 1.0, 0.0, 0.0)
    trial = run(Dataset("a", rows), priority=[1.0] * 6, triggers=(long,))
    assert trial.measured, trial.reason
    assert set(trial.contexts) == {"plain", "suspect rows"}
    assert (
        "cut to what the base model has room for"
        in (trial.context_details["suspect rows"])
    )
    assert set(trial.unasked) == {"trigger 1"}
    assert "the base model takes 480" in trial.unasked["trigger 1"]
