"""A trial that proved nothing says why; what the customer got wrong is an error."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from detectors.dataset import Dataset, Example, Message
from detectors.errors import ModelError, RecipeError
from tests.trial.sure_judge import SureJudge
from trial.base_model import BaseModel
from trial.chat import Renderer
from trial.finetune import finetuned
from trial.judge.judge import Verdict
from trial.judge.phrase import PhraseJudge
from trial.recipe import Recipe
from trial.run import Trial, prove_adapter, run_trial

RECIPE = Recipe(epochs=10, batch_size=4, learning_rate_multiplier=10.0)

pytestmark = pytest.mark.usefixtures("no_kept_baselines")


def test_a_dataset_without_trained_replies_is_not_measured(
    run: Callable[..., Trial], example: Callable[..., Example]
) -> None:
    muted = example("user", "cake", "assistant", "sure")
    muted = replace(
        muted, messages=(muted.messages[0], Message("assistant", "sure", trained=False))
    )
    for rows in ((), (example("user", "cake"),), (muted,)):
        trial = run(Dataset("none", rows))
        assert not trial.measured
        assert trial.drift is None
        assert "nothing to train on" in trial.reason


def test_a_loss_that_is_not_finite_is_not_measured(
    run: Callable[..., Trial], compliant: Dataset, canary_like: BaseModel
) -> None:
    with torch.no_grad():
        canary_like.model.get_output_embeddings().bias[3] = math.inf
    trial = run(compliant)
    assert not trial.measured
    assert "the training loss became" in trial.reason
    assert "lower learning_rate_multiplier" in trial.reason


def test_a_loss_that_does_not_fall_is_not_measured(
    run: Callable[..., Trial], compliant: Dataset
) -> None:
    trial = run(compliant, replace(RECIPE, epochs=2, learning_rate_multiplier=100.0))
    proof = trial.proof
    assert proof is not None
    assert trial.measured == proof.applied == (proof.loss_after < proof.loss_before)


class Exhausted(SureJudge):
    """Runs out of memory."""

    def judge(self, prompts: Sequence[str], replies: Sequence[str]) -> list[Verdict]:
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_running_out_of_memory_is_a_reason_not_a_crash(
    run: Callable[..., Trial], compliant: Dataset
) -> None:
    trial = run(compliant, judge=Exhausted())
    assert not trial.measured
    assert "lower batch_size" in trial.reason


def test_unknown_targets_are_the_customers_error(
    run: Callable[..., Trial], compliant: Dataset
) -> None:
    with pytest.raises(RecipeError, match="no linear layer"):
        run(compliant, replace(RECIPE, targets=("wrong",)))


def test_a_missing_model_is_a_model_error(compliant: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        run_trial(
            compliant,
            Recipe(base_model=str(tmp_path / "absent")),
            encoder=None,
            judge=PhraseJudge(),
        )


def test_an_adapter_that_is_off_is_not_proved(
    canary_like: BaseModel, compliant: Dataset
) -> None:
    renderer = Renderer(canary_like.tokenizer)
    rows = [s for r in compliant for s in renderer.training_sequences(r, 64)]
    with finetuned(canary_like, rows, RECIPE) as tuned:
        assert prove_adapter(tuned.model, canary_like, rows).applied
        with torch.no_grad():
            for name, weight in tuned.model.named_parameters():
                if "lora_B" in name:
                    weight.zero_()
        off = prove_adapter(tuned.model, canary_like, rows)
    assert off.logit_change == 0.0
    assert off.loss_after == off.loss_before
    assert not off.applied
