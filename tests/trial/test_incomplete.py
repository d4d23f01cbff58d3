"""A trial in which something failed keeps what was measured, and says what was not."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from detectors.dataset import Dataset, Example, Message, Origin
from detectors.detector import Trigger
from tests.trial.sure_judge import SureJudge
from trial.base_model import BaseModel, load_base
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


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (
            "{% if messages[0]['role'] != 'system' %}"
            "{{ raise_exception('a system message is needed') }}{% endif %}"
            "{{ messages[1]['content'] }}",
            "a system message is needed",
        ),
        ("{{ 1//0 }}", "division"),
        ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
        ("{% for %}", "Expected an expression"),
        ("{{ messages.nothing() }}", "no attribute"),
        ("{% if add_generation_prompt %}[AST]{% endif %}", "words are left out"),
        (
            "{% for m in messages %}{{ m['content'][:9] }}{% endfor %}",
            "7 of its 10 words",
        ),
    ],
)
def test_a_chat_template_that_cannot_put_the_probes_is_a_reason(
    run: Callable[..., Trial],
    compliant: Dataset,
    folders: dict[str, Path],
    template: str,
    why: str,
) -> None:
    base = load_base(str(folders["bert"]), chat_template=template)
    trial = run(compliant, base=base)
    assert not trial.measured
    assert trial.reason.startswith("the chat template cannot put a question: ")
    assert why in trial.reason


def exhausted(*_: object, **__: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_running_out_of_memory_over_mere_evidence_keeps_the_verdict(
    run: Callable[..., Trial], compliant: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (
        "trial.seed_run.measure_first_tokens",
        "trial.seed_run.measure_forgetting",
        "trial.seed_run.measure_utility",
        "trial.run.attribute_drift",
    ):
        monkeypatch.setattr(place, exhausted)
    strong = Recipe(epochs=10, batch_size=4, learning_rate_multiplier=10.0)
    trial = run(compliant, strong)
    assert trial.measured, trial.reason
    assert trial.drift is not None
    assert trial.drift.overall.change == 1.0
    assert (trial.first_tokens, trial.forgetting, trial.attribution) == (None,) * 3
    assert trial.utility is not None
    assert trial.utility.rule == "not measured: out of memory"


def test_a_base_model_that_memory_does_not_hold_is_a_reason(
    compliant: Dataset, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "trial.base_model.AutoModelForCausalLM.from_pretrained", exhausted
    )
    recipe = Recipe(base_model=str(folders["bert"]))
    trial = run_trial(compliant, recipe, encoder=None, judge=SureJudge())  # type: ignore[arg-type]  # unused
    assert not trial.measured
    assert "ran out of memory" in trial.reason
