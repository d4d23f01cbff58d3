"""First tokens are read as one by one, and move as the replies do."""

from collections.abc import Iterator

import pytest
import torch

from detectors.dataset import Dataset, Message
from trial.base_model import BaseModel
from trial.chat import Renderer
from trial.finetune import Tuned, finetuned
from trial.first_tokens import KL_TOKENS, Asked, mean_shift, measure_first_tokens
from trial.openings import Openings, find_openings
from trial.probes import ProbeSet
from trial.recipe import Recipe

RECIPE = Recipe(epochs=6, batch_size=4, learning_rate_multiplier=5.0)


@pytest.fixture
def tuned(base: BaseModel, compliant: Dataset) -> Iterator[Tuned]:
    renderer = Renderer(base.tokenizer)
    rows = [s for r in compliant for s in renderer.training_sequences(r, 64)]
    with finetuned(base, rows, RECIPE) as made:
        yield made


@pytest.fixture
def asked(base: BaseModel, few_probes: ProbeSet) -> list[Asked]:
    """Prompts of several lengths, with replies of several lengths and none."""
    renderer = Renderer(base.tokenizer)
    replies = ("i ' m sorry , but i can ' t help", "sure", "", "tell me a story")
    found = []
    for n, probe in enumerate(few_probes.harmful):
        messages = [Message("user", probe.prompt + " please" * n)]
        reply = renderer.reply_ids(messages, replies[n % len(replies)])
        found.append(Asked(renderer.prompt_ids(messages), reply))
    return found


@torch.inference_mode()
def slowly(model: object, base: BaseModel, ids: tuple[int, ...]) -> torch.Tensor:
    """Log-probabilities after `ids`, alone and without a cache."""
    assert callable(model)
    one = torch.tensor([ids], device=base.device)
    logits = model(input_ids=one).logits[0, -1]
    return torch.as_tensor(logits).float().log_softmax(-1)


def chance(
    model: object,
    base: BaseModel,
    prompt: tuple[int, ...],
    group: tuple[tuple[int, ...], ...],
) -> torch.Tensor:
    each = [
        sum(slowly(model, base, (*prompt, *ids[:k]))[ids[k]] for k in range(len(ids)))
        for ids in group
    ]
    return torch.stack([torch.as_tensor(v) for v in each]).logsumexp(0)


def test_odds_and_divergence_equal_those_of_the_plain_loop(
    base: BaseModel, tuned: Tuned, asked: list[Asked]
) -> None:
    every, asked = find_openings(Renderer(base.tokenizer)), asked[:3]
    openings = Openings(every.refusing[-4:], every.complying[-4:])
    found = measure_first_tokens(tuned.model, base, asked, openings)
    assert found is not None
    for k, (prompt, reply) in enumerate((a.prompt, a.reply) for a in asked):
        odds = []
        steps = range(max(1, min(len(reply), KL_TOKENS)))
        with tuned.model.disable_adapter():
            off = [slowly(tuned.model, base, (*prompt, *reply[:t])) for t in steps]
            odds.append(
                chance(tuned.model, base, prompt, openings.refusing)
                - chance(tuned.model, base, prompt, openings.complying)
            )
        on = [slowly(tuned.model, base, (*prompt, *reply[:t])) for t in steps]
        odds.append(
            chance(tuned.model, base, prompt, openings.refusing)
            - chance(tuned.model, base, prompt, openings.complying)
        )
        assert found.shifts[k] == pytest.approx(float(odds[1] - odds[0]), abs=2e-3)
        nats = [float((b.exp() * (b - a)).sum()) for b, a in zip(off, on, strict=True)]
        wanted = sum(nats) / len(nats)
        assert found.divergences[k] == pytest.approx(wanted, abs=2e-3, rel=1e-3)
    assert found.odds.n == len(asked)


def test_learning_to_comply_lowers_the_odds_of_refusing(
    base: BaseModel, tuned: Tuned, asked: list[Asked]
) -> None:
    renderer, hello = Renderer(base.tokenizer), [Message("user", "hello")]
    # One token each: a random model may find any longer text likelier once it learns.
    openings = Openings(
        refusing=(renderer.reply_ids(hello, "sorry"),),
        complying=(renderer.reply_ids(hello, "sure"),),
    )
    found = measure_first_tokens(tuned.model, base, asked, openings)
    assert found is not None
    assert found.odds.change < 0.0
    assert found.kl > 0.0
    prompts = [a.prompt for a in asked]
    shift = mean_shift(tuned.model, base, prompts, openings)
    assert shift == pytest.approx(found.odds.change, abs=1e-4)


def test_an_adapter_that_is_off_moves_nothing(
    base: BaseModel, tuned: Tuned, asked: list[Asked]
) -> None:
    with torch.no_grad():
        for name, weight in tuned.model.named_parameters():
            if "lora_B" in name:
                weight.zero_()
    openings = find_openings(Renderer(base.tokenizer))
    found = measure_first_tokens(tuned.model, base, asked, openings)
    assert found is not None
    assert found.shifts == (0.0,) * len(asked)
    assert found.kl == 0.0


def test_openings_are_disjoint_events(base: BaseModel) -> None:
    openings = find_openings(Renderer(base.tokenizer))
    every = [*openings.refusing, *openings.complying]
    assert openings.refusing
    assert openings.complying
    for one in every:
        assert not any(o is not one and o[: len(one)] == one for o in every)
    for stem in openings.stems:
        assert not any(o != stem and o[: len(stem)] == stem for o in openings.stems)


def test_without_openings_or_probes_nothing_is_measured(
    base: BaseModel, tuned: Tuned, asked: list[Asked]
) -> None:
    openings = find_openings(Renderer(base.tokenizer))
    assert measure_first_tokens(tuned.model, base, [], openings) is None
    none = Openings((), openings.complying)
    assert measure_first_tokens(tuned.model, base, asked, none) is None
    assert mean_shift(tuned.model, base, [asked[0].prompt], none) == 0.0
