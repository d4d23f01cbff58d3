"""A trial that is cut off goes on where it was, and ends as if nothing had happened."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from detectors.dataset import Dataset
from tests.trial.sure_judge import SureJudge
from trial.base_model import BaseModel
from trial.baseline import forget_baselines
from trial.chat import Renderer, TokenSequence
from trial.finetune import finetuned
from trial.memory import Slot
from trial.probes import ProbeSet
from trial.recipe import Recipe
from trial.run import run_trial
from trial.stopping import StopRule
from trial.trial import Trial
from trial.tune_state import SAVE_SECONDS, TuneState

RECIPE = Recipe(epochs=5, batch_size=4, learning_rate_multiplier=10.0)
STEPS = 10


class Kept:
    """A memory that is a dictionary."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        return self.content.get(name)

    def put(self, name: str, content: bytes) -> None:
        self.content[name] = content


class CutOff(BaseException):
    """The process dies."""


@pytest.fixture(autouse=True)
def save_each_step(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("trial.tune_state.SAVE_SECONDS", 0.0)
    forget_baselines()
    yield
    forget_baselines()


@pytest.fixture
def rows(canary_like: BaseModel, compliant: Dataset) -> list[TokenSequence]:
    renderer = Renderer(canary_like.tokenizer)
    return [s for row in compliant for s in renderer.training_sequences(row, 64)]


def weights_of(model: torch.nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters() if p.requires_grad]


@pytest.mark.parametrize("cut_after", [1, 4, STEPS - 1])
def test_a_tune_that_was_cut_off_ends_in_the_same_weights(
    canary_like: BaseModel, rows: list[TokenSequence], cut_after: int
) -> None:
    with finetuned(canary_like, rows, RECIPE) as tuned:
        losses, weights = tuned.losses, weights_of(tuned.model)
    slot, done = Slot(Kept(), "tune"), []

    def die(step: int, total: int) -> None:
        if step > cut_after:
            raise CutOff

    with (
        pytest.raises(CutOff),
        finetuned(canary_like, rows, RECIPE, advance=die, slot=slot),
    ):
        pass
    with finetuned(
        canary_like, rows, RECIPE, advance=lambda n, _: done.append(n), slot=slot
    ) as again:
        assert again.losses == losses
        assert all(map(torch.equal, weights_of(again.model), weights))
    assert done == list(range(cut_after + 1, STEPS + 1))


def test_weights_that_get_no_gradient_are_kept_without_moments(
    canary_like: BaseModel, rows: list[TokenSequence]
) -> None:
    canary_like.model.add_module("aside", torch.nn.Linear(4, 4))
    with finetuned(canary_like, rows, RECIPE) as tuned:
        names = [n for n, p in tuned.model.named_parameters() if p.requires_grad]
        weights = weights_of(tuned.model)
    assert any("aside" in name for name in names)
    slot = Slot(Kept(), "tune")

    def die(step: int, total: int) -> None:
        if step > 1:
            raise CutOff

    with (
        pytest.raises(CutOff),
        finetuned(canary_like, rows, RECIPE, advance=die, slot=slot),
    ):
        pass
    with finetuned(canary_like, rows, RECIPE, slot=slot) as again:
        assert all(map(torch.equal, weights_of(again.model), weights))


def test_each_weight_goes_on_at_its_own_step() -> None:
    def step(weights: list[torch.nn.Parameter], adam: torch.optim.AdamW) -> None:
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        adam.step()
        adam.zero_grad()

    def made() -> tuple[list[torch.nn.Parameter], torch.optim.AdamW]:
        weights = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
        return weights, torch.optim.AdamW(weights)

    weights, adam = made()
    step(weights[:1], adam)
    step(weights[:2], adam)
    slot = Slot(Kept(), "tune")
    TuneState(slot, weights, adam).save([1.0, 1.0])
    others, other = made()
    assert TuneState(slot, others, other).restore() == [1.0, 1.0]
    assert [int(other.state[w]["step"]) for w in others[:2]] == [2, 1]
    assert others[2] not in other.state
    step(weights, adam)
    step(others, other)
    assert all(map(torch.equal, others, weights))


def test_a_finished_tune_is_not_trained_again(
    canary_like: BaseModel, rows: list[TokenSequence]
) -> None:
    slot, done = Slot(Kept(), "tune"), []
    for _ in range(2):
        with finetuned(
            canary_like, rows, RECIPE, advance=lambda n, _: done.append(n), slot=slot
        ) as tuned:
            assert len(tuned.losses) == tuned.planned == STEPS
    assert len(done) == STEPS


@pytest.mark.parametrize(
    "content", [b"", b"no safetensors", b"\x08" + b"\0" * 7 + b"{}"]
)
def test_a_state_that_cannot_be_read_counts_as_absent(
    canary_like: BaseModel, rows: list[TokenSequence], content: bytes
) -> None:
    memory = Kept()
    memory.put("tune", content)
    with finetuned(canary_like, rows, RECIPE, slot=Slot(memory, "tune")) as tuned:
        assert len(tuned.losses) == STEPS


@pytest.mark.parametrize(
    "damage",
    [
        {"losses": torch.tensor(0.5)},
        {"losses": torch.zeros(2, 2)},
        {"losses": torch.tensor([])},
        {"0.step": torch.zeros(3)},
    ],
)
def test_a_state_with_a_part_that_does_not_fit_counts_as_absent(
    canary_like: BaseModel, rows: list[TokenSequence], damage: dict[str, torch.Tensor]
) -> None:
    slot, done = Slot(Kept(), "tune"), []
    with finetuned(canary_like, rows, RECIPE, slot=slot) as tuned:
        losses = tuned.losses
    kept = load(slot.get() or b"")
    slot.put(save(kept | damage))
    with finetuned(
        canary_like, rows, RECIPE, advance=lambda n, _: done.append(n), slot=slot
    ) as tuned:
        assert tuned.losses == losses
    assert len(done) == STEPS


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff{", b"{", b"[" * 100_000, b"7", b'["a", "b"]', b"[1]", b"[null]"],
)
def test_kept_texts_that_cannot_be_read_are_made_anew(content: bytes) -> None:
    slot = Slot(Kept(), "replies")
    slot.put(content)
    assert slot.texts(1, lambda: ["made"]) == ["made"]
    assert slot.texts(1, lambda: ["again"]) == ["made"]


def test_the_state_of_another_adapter_counts_as_absent(
    canary_like: BaseModel, rows: list[TokenSequence]
) -> None:
    slot, done = Slot(Kept(), "tune"), []
    with finetuned(canary_like, rows, replace(RECIPE, lora_rank=4), slot=slot):
        pass
    with finetuned(
        canary_like, rows, RECIPE, advance=lambda n, _: done.append(n), slot=slot
    ):
        pass
    assert len(done) == STEPS


def test_a_state_is_due_after_a_while_and_not_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trial.tune_state.SAVE_SECONDS", SAVE_SECONDS)
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.AdamW([weight])
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    state = TuneState(Slot(), [weight], optimizer)
    assert not state.due
    now[0] = SAVE_SECONDS
    assert state.due


@pytest.fixture
def run(
    canary_like: BaseModel, compliant: Dataset, few_probes: ProbeSet
) -> Callable[..., Trial]:
    def trial(recipe: Recipe = RECIPE, **options: object) -> Trial:
        given = {"base": canary_like, "probes": few_probes, "judge": SureJudge()}
        return run_trial(compliant, recipe, encoder=None, **(given | options))

    return trial


def stages(trial: Trial) -> tuple[object, ...]:
    return trial.replies, trial.drift, trial.losses, trial.proof, trial.contexts


def middle_points(moments: list[str]) -> list[int]:
    """Middle moment of each stage."""
    return sorted(mine[len(mine) // 2] for mine in by_stage(moments))


def edge_points(moments: list[str]) -> list[int]:
    """First and last moment of each stage."""
    return sorted({k for mine in by_stage(moments) for k in (mine[0], mine[-1])})


def by_stage(moments: list[str]) -> list[list[int]]:
    stages = set(moments)
    return [[k for k, m in enumerate(moments) if m == stage] for stage in stages]


@pytest.mark.parametrize(
    "turning_points",
    [middle_points, pytest.param(edge_points, marks=pytest.mark.slow)],
)
def test_a_trial_cut_off_in_any_stage_goes_on_to_the_same_end(
    run: Callable[..., Trial], turning_points: Callable[[list[str]], list[int]]
) -> None:
    undisturbed = run(stop=StopRule(0.25, 0.10))
    moments: list[str] = []
    forget_baselines()
    run(stop=StopRule(0.25, 0.10), progress=lambda stage, *_: moments.append(stage))
    assert set(moments) == {"reply before", "fine-tune", "reply after"}
    for cut in turning_points(moments):
        memory, told = Kept(), [0]

        def die(*_: object, cut: int = cut, told: list[int] = told) -> None:
            told[0] += 1
            if told[0] > cut:
                raise CutOff

        forget_baselines()
        with pytest.raises(CutOff):
            run(stop=StopRule(0.25, 0.10), progress=die, memory=memory)
        forget_baselines()
        rest: list[str] = []
        again = run(
            stop=StopRule(0.25, 0.10),
            progress=lambda stage, *_, rest=rest: rest.append(stage),
            memory=memory,
        )
        assert stages(again) == stages(undisturbed)
        # What was done and kept is not done again: only the act that was cut off is.
        assert len(rest) <= len(moments) - cut


def test_nothing_of_another_job_is_taken_up(
    run: Callable[..., Trial], compliant: Dataset
) -> None:
    memory = Kept()
    run(memory=memory)
    for other in (replace(RECIPE, seed=1), replace(RECIPE, epochs=4)):
        fresh = run(other)
        assert stages(run(other, memory=memory)) == stages(fresh)
    steps: list[str] = []
    run(memory=memory, progress=lambda stage, *_: steps.append(stage))
    assert "fine-tune" not in steps
    assert "reply after" not in steps
