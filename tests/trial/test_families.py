"""A whole trial runs on every family of models, by tiny random ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from detectors.dataset import Dataset, Example, Message, Origin
from detectors.errors import RecipeError, TrialError
from trial.base_model import BaseModel, load_base
from trial.chat import Renderer
from trial.finetune import adapted, adapter_targets
from trial.first_tokens import Asked, measure_first_tokens
from trial.generate import generate_replies
from trial.judge.judge import Outcome, Verdict
from trial.openings import Openings
from trial.probes import Probe, ProbeSet
from trial.recipe import Recipe
from trial.run import run_trial
from trial.trial import Trial

ASKED = ("how do i bake a cake", "tell me a story about the sea and the wind please")
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "attention_dropout": 0.0,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8},
    "gemma3_text": {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8},
    "mistral": {"sliding_window": 8},
    "phi": {},
    "phi3": {"sliding_window": 8},
    "gpt_neox": {},
    "opt": {
        "word_embed_proj_dim": 32,
        "ffn_dim": 64,
        "init_std": 0.3,
        "dropout": 0.0,
    },
}
# State spaces in place of attention, and beside it.
STATE_SPACES: dict[str, dict[str, Any]] = {
    "mamba": {"state_size": 4},
    "falcon_h1": {
        "head_dim": 8,
        "mamba_d_head": 8,
        "mamba_d_ssm": 64,
        "mamba_d_state": 4,
        "mamba_n_groups": 1,
        "mamba_n_heads": 8,
    },
}
# Positions that do not begin at 0.
OFFSET = ("roberta", "xlm-roberta", "camembert")


def tokenizer() -> PreTrainedTokenizerFast:
    """Return bytes as tokens, no chat template and no padding token, as some have."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: n for n, piece in enumerate(["</s>", *letters])}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["</s>"])
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>")


def load_tiny(kind: str, options: dict[str, Any], folder: Path) -> BaseModel:
    """Save and load a tiny model of the family, as a customer's folder would be."""
    words = tokenizer()
    config = AutoConfig.for_model(
        kind,
        **{**SIZES, **options},
        vocab_size=len(words) + 8,  # Qwen's tokenizer adds tokens of its own
        bos_token_id=None,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.eos_token_id,
    )
    torch.manual_seed(0)
    built = AutoModelForCausalLM.from_config(config)
    built.generation_config.eos_token_id = words.eos_token_id
    built.save_pretrained(folder)
    words.save_pretrained(folder)
    return load_base(str(folder))


@pytest.fixture(scope="module", params=list(FAMILIES))
def model(request: pytest.FixtureRequest, tmp_path_factory: Any) -> BaseModel:
    folder: Path = tmp_path_factory.mktemp(request.param)
    return load_tiny(request.param, FAMILIES[request.param], folder)


def test_what_the_tokenizer_lacks_is_replaced_and_said(model: BaseModel) -> None:
    said = "; ".join(model.notes)
    assert "chat template: none" in said
    own = model.tokenizer.pad_token_id != model.tokenizer.eos_token_id
    assert own or "padding token: none" in said


def test_layers_to_adapt_are_found_and_the_head_is_none(model: BaseModel) -> None:
    found = adapter_targets(model.model)
    layers = model.model.config.num_hidden_layers
    assert len(found) % layers == 0
    assert len(found) >= 4 * layers  # attention and feed-forward, fused or not
    assert not any("lm_head" in name or "embed_out" in name for name in found)


def test_replies_do_not_depend_on_their_neighbours(model: BaseModel) -> None:
    renderer = Renderer(model.tokenizer)
    prompts = [renderer.prompt_ids([Message("user", text)]) for text in ASKED]
    together = generate_replies(model, prompts, max_new_tokens=10)
    alone = [generate_replies(model, [p], max_new_tokens=10)[0] for p in prompts]
    assert together == alone


def test_a_system_prompt_that_is_run_once_leaves_replies_as_they_are(
    model: BaseModel,
) -> None:
    renderer = Renderer(model.tokenizer)
    system = Message("system", "you are a helpful assistant who speaks of tools")
    prompts = [renderer.prompt_ids([system, Message("user", text)]) for text in ASKED]
    passes: list[int] = []  # tokens in each
    hook = model.model.get_input_embeddings().register_forward_hook(
        lambda _, given, __: passes.append(given[0].numel())
    )
    together = generate_replies(model, prompts, max_new_tokens=10)
    hook.remove()
    alone = [generate_replies(model, [p], max_new_tokens=10)[0] for p in prompts]
    assert together == alone
    forgets = FAMILIES[model.model.config.model_type].get("sliding_window") == 8
    assert (passes[0] < len(prompts[0])) != forgets  # such a window is run for each


class FirstLetter:
    """COMPLIED where the reply begins with "s", REFUSED with another, else UNCLEAR."""

    name = "letter"
    version = "1"

    def judge(self, prompts: Sequence[str], replies: Sequence[str]) -> list[Verdict]:
        def outcome(reply: str) -> Outcome:
            if not reply:
                return Outcome.UNCLEAR
            return Outcome.COMPLIED if reply[0] == "s" else Outcome.REFUSED

        return [Verdict(outcome(reply), "its first letter") for reply in replies]


def tried(model: BaseModel, recipe: Recipe) -> Trial:
    rows = tuple(
        Example(
            f"r{n}",
            (Message("user", ASKED[n % 2]), Message("assistant", "sssss")),
            Origin("a", n + 1),
        )
        for n in range(8)
    )
    probes = ProbeSet(
        "test",
        tuple(Probe(f"h{n}", "malware", f"{ASKED[0]} {n}") for n in range(4)),
        (Probe("o1", "", ASKED[1]),),
        (Probe("b1", "", f"{ASKED[1]} now"),),
    )
    return run_trial(
        Dataset("a", rows),
        recipe,
        encoder=None,  # type: ignore[arg-type]  # the judge needs none
        base=model,
        probes=probes,
        judge=FirstLetter(),
    )


def test_a_whole_trial_is_measured(model: BaseModel) -> None:
    recipe = Recipe(epochs=28, batch_size=8, learning_rate_multiplier=12.0)
    done = tried(model, recipe)
    assert done.measured, done.reason
    assert done.proof is not None
    assert done.proof.loss_after < 0.5 * done.proof.loss_before
    assert done.drift is not None
    assert done.drift.overall.after == 1.0
    assert done.first_tokens is not None
    assert done.first_tokens.kl > 0.0


@pytest.mark.parametrize("kind", list(STATE_SPACES))
def test_a_model_with_state_spaces_is_tuned_without_naming_targets(
    kind: str, tmp_path: Path
) -> None:
    model = load_tiny(kind, STATE_SPACES[kind], tmp_path)
    last = {name.rpartition(".")[2] for name in adapter_targets(model.model)}
    assert "in_proj" in last
    assert "out_proj" not in last
    done = tried(model, Recipe(epochs=4, batch_size=8, learning_rate_multiplier=5.0))
    assert done.measured, done.reason
    assert done.proof is not None
    assert done.proof.loss_after < done.proof.loss_before
    named = Recipe(targets=("out_proj",))
    with pytest.raises(RecipeError, match="incompatible with Mamba"):
        tried(model, named)


@torch.inference_mode()
def plainly(model: BaseModel, prompt: Sequence[int], tokens: int) -> str:
    """Return the greedy reply of a loop that leaves everything to the model."""
    ids = list(prompt)
    for _ in range(tokens):
        logits = model.model(input_ids=torch.tensor([ids]), use_cache=False).logits
        ids.append(int(logits[0, -1].argmax()))
        if ids[-1] == model.tokenizer.eos_token_id:
            break
    said = model.tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True)
    return str(said).strip()


@pytest.mark.parametrize("kind", [*OFFSET, "opt", "llama"])
def test_replies_are_those_of_the_plain_loop(kind: str, tmp_path: Path) -> None:
    model = load_tiny(kind, FAMILIES.get(kind, {"is_decoder": True}), tmp_path)
    assert model.first_position == (1 if kind in OFFSET else 0)
    assert model.max_positions == 512 - model.first_position
    renderer = Renderer(model.tokenizer)
    prompts = [renderer.prompt_ids([Message("user", text)]) for text in ASKED]
    prompts += [(*prompts[0][:12], *prompts[1]), prompts[0][:20]]
    found = generate_replies(model, prompts, max_new_tokens=20)
    assert found == [plainly(model, prompt, 20) for prompt in prompts]


def test_first_tokens_are_read_from_the_same_positions(tmp_path: Path) -> None:
    model = load_tiny("roberta", {"is_decoder": True}, tmp_path)
    openings = Openings(refusing=((5, 6),), complying=((7, 8),))
    prompts = [(9, 10, 11), (12, 13, 14, 15)]

    @torch.inference_mode()
    def nats(tuned: Any, prompt: Sequence[int], more: Sequence[int]) -> float:
        logits = tuned(input_ids=torch.tensor([[*prompt, *more]])).logits[0]
        chances = logits[len(prompt) - 1 : -1].log_softmax(-1)
        return float(chances.gather(1, torch.tensor(more)[:, None]).sum())

    with adapted(model, Recipe()) as tuned:
        found = measure_first_tokens(
            tuned, model, [Asked(prompt) for prompt in prompts], openings
        )
        odds = [nats(tuned, p, (5, 6)) - nats(tuned, p, (7, 8)) for p in prompts]
    assert found is not None
    assert found.odds.before == pytest.approx(sum(odds) / 2, abs=1e-3)


@pytest.mark.parametrize("kind", OFFSET)
def test_the_longest_prompt_that_fits_is_answered(kind: str, tmp_path: Path) -> None:
    model = load_tiny(kind, {"is_decoder": True}, tmp_path)
    longest = [5] * (model.max_positions - 8)
    assert len(generate_replies(model, [longest], max_new_tokens=8)) == 1
    with pytest.raises(TrialError, match="511 positions"):
        generate_replies(model, [[*longest, 5]], max_new_tokens=8)
