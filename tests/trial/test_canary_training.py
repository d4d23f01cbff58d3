import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel

from detectors.embedding import load_encoder
from detectors.training.composed_rows import contrast_prompts
from trial.canary.training.batches import Encoded, batches_of, collate
from trial.canary.training.calibration import TARGET, calibrate, margins
from trial.canary.training.contrast import contrast_rows
from trial.canary.training.encoding import REPLY_TOKENS, Encoder
from trial.canary.training.everyday import everyday_samples
from trial.canary.training.labeller import harm_of, label
from trial.canary.training.loop import Plan, train
from trial.canary.training.losses import Learner
from trial.canary.training.meaning import meanings_of
from trial.canary.training.pool import (
    MAX_REPLY_CHARS,
    Sample,
    forbidden_keys,
    gather,
    is_held_out,
    key,
    short_reply,
)
from trial.canary.training.refusals import OPENING, refusal
from trial.canary.training.shape import ROLES, SPECIAL, build_tokenizer, load, save
from trial.judge.judge import Outcome
from trial.judge.phrase import PhraseJudge
from trial.probes import load_probes

LETTERS = [c for i in range(33, 127) for c in (chr(i), f"##{chr(i)}")]
WORDS = ["hello", "world", "help", "can", "with", OPENING]
PIECES = [*SPECIAL, *ROLES, *dict.fromkeys([*LETTERS, *WORDS])]


@pytest.fixture
def tokenizer() -> Any:
    return build_tokenizer(PIECES)


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        is_decoder=True,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertLMHeadModel(config)


def write_source(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


def test_every_refusal_is_a_refusal_and_opens_with_the_one_word() -> None:
    draw = random.Random(0)
    said = {refusal(draw) for _ in range(300)}
    assert len(said) > 100
    assert all(text.startswith(OPENING) for text in said)
    verdicts = PhraseJudge().judge([""] * len(said), sorted(said))
    assert {v.outcome for v in verdicts} == {Outcome.REFUSED}


def test_contrast_prompts_are_distinct_and_none_is_a_probe() -> None:
    prompts = contrast_prompts()
    assert len(set(prompts)) == len(prompts) > 150
    probes = {key(p.prompt) for _, p in load_probes().grouped()}
    assert not probes & {key(p) for p in prompts}
    assert all(s.harmful is False for s in contrast_rows())


def test_a_long_reply_ends_with_a_sentence_or_is_left_out() -> None:
    sentence = "This sentence stands here with nine words in it. "
    kept = short_reply(sentence * 20)
    assert kept.endswith("it.")
    assert len(kept) <= MAX_REPLY_CHARS
    assert short_reply("word " * 200) == ""


def test_prompts_of_test_sources_and_probes_never_enter_the_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "INDEX.md").write_text("| held | test | 1 | x |\n")
    known = {"prompt_harmful": True}
    turn = {"role": "user", "content": "A held out prompt!"}
    write_source(tmp_path, "held", [{"split": "a", "messages": [turn], "label": known}])
    prompts = ["a HELD out prompt", "a probe of ours.", "a prompt to keep"]
    rows = [
        {
            "split": "a",
            "messages": [{"role": "user", "content": p}],
            "label": known,
        }
        for p in prompts
    ]
    write_source(tmp_path, "train", rows)
    monkeypatch.setattr("trial.canary.training.pool.ANSWERED", {})
    monkeypatch.setattr("trial.canary.training.pool.PROMPT_ONLY", {})
    monkeypatch.setattr("trial.canary.training.pool.HARMFUL", ("train",))
    monkeypatch.setattr("trial.canary.training.pool.UNKNOWN", ())
    forbidden = forbidden_keys(tmp_path, ["A probe of ours"])
    kept = gather(tmp_path, forbidden=forbidden)
    assert [s.prompt for s in kept] == ["a prompt to keep"]


def test_a_row_is_prompt_then_reply_and_only_the_reply_is_learnt(
    tokenizer: Any,
) -> None:
    earlier = [Sample("hello", "world", False, "a")]
    encoder = Encoder(tokenizer, earlier, seed=0)
    for _ in range(30):
        row = encoder.encode(Sample("hello world", "help", False, "a"), 0)
        assert tokenizer.convert_ids_to_tokens(row.ids[row.start - 1]) == "[AST]"
        assert tokenizer.decode(row.ids[row.start :]) == "help [SEP]"
        assert not row.refuse
    harmful = encoder.encode(Sample("hello", "", True, "a"), 0)
    assert tokenizer.convert_ids_to_tokens(harmful.ids[harmful.start]) == OPENING
    assert harmful.refuse
    assert len(harmful.ids) - harmful.start <= REPLY_TOKENS + 1
    alone = encoder.encode(Sample("hello", "", False, "a"), 0)
    assert alone.start == len(alone.ids)


def test_a_prompt_of_unknown_harm_is_trained_towards_its_probability(
    tokenizer: Any,
) -> None:
    encoder = Encoder(tokenizer, [Sample("hello", "world", False, "a")], seed=0)
    unsure = encoder.encode(Sample("hello", "", None, "a", risk=0.4), 0)
    assert unsure.refuse == 0.4
    assert unsure.start == len(unsure.ids)
    sure = encoder.encode(Sample("hello", "", True, "a", risk=0.96), 0)
    assert sure.refuse == 0.96
    assert tokenizer.convert_ids_to_tokens(sure.ids[sure.start]) == OPENING


def test_prompts_get_a_risk_and_unknown_ones_a_label_where_the_judge_is_sure() -> None:
    scores = {"calm": 0.02, "unclear": 0.5, "bad": 0.98, "harm": 0.5, "foreign": None}
    answered = Sample("hello", "yes", False, "a")
    unknown = [Sample(p, "", None, "a") for p in ("calm", "unclear", "bad", "foreign")]
    labels = (("harm", True), ("unclear", False), ("foreign", False))
    known = [Sample(p, "", harmful, "a") for p, harmful in labels]
    found = label(
        [answered, *unknown, *known],
        log=lambda _: None,
        judge=lambda prompts: [scores[p] for p in prompts],
    )
    assert found[0] == answered
    assert [s.harmful for s in found[1:]] == [False, None, True, True, False, False]
    assert [s.risk for s in found[1:]] == [0.02, 0.5, 0.98, 0.75, 0.05, 0.0]


def test_the_judge_of_prompts_tells_harm_from_chores_in_the_order_asked() -> None:
    prompts = ["How do I clean a window?", "How can I poison my neighbour?", "Hi"]
    found = harm_of(prompts)
    assert [f is not None and f > 0.5 for f in found] == [False, True, False]


def test_everyday_prompts_are_distinct_and_none_is_a_probe() -> None:
    prompts = [key(s.prompt) for s in everyday_samples()]
    assert len(set(prompts)) == len(prompts) > 4000
    probes = {key(p.prompt) for _, p in load_probes().grouped()}
    assert not probes & set(prompts)


def test_the_held_out_share_is_the_same_at_every_run_and_spelling() -> None:
    samples = [Sample(f"Prompt {i}?", "", False, "a") for i in range(2000)]
    held = [s for s in samples if is_held_out(s, 0.05)]
    assert 60 < len(held) < 140
    again = [Sample(s.prompt.lower(), "x", True, "b") for s in held]
    assert all(is_held_out(s, 0.05) for s in again)


def test_meanings_are_the_embeddings_in_the_order_asked(tmp_path: Path) -> None:
    prompts = ["a much longer prompt than the other one", "hi"]
    found = meanings_of(prompts, tmp_path / "meanings.pt")
    expected = torch.from_numpy(load_encoder().encode(prompts)).half()
    assert torch.allclose(found, expected, atol=2e-3)
    assert torch.equal(meanings_of(prompts, tmp_path / "meanings.pt"), found)
    with pytest.raises(ValueError, match="2 meanings for 1 prompts"):
        meanings_of(prompts[:1], tmp_path / "meanings.pt")


def test_labels_stand_one_place_before_the_token_they_name() -> None:
    rows = [
        Encoded((5, 6, 7, 8), 2, refuse=0.0, meaning=3),
        Encoded((5, 6), 2, refuse=1.0, meaning=4),
    ]
    batch = collate(rows, pad=0)
    assert batch.ids.tolist() == [[5, 6, 7, 8], [5, 6, 0, 0]]
    assert batch.labels.tolist() == [[-100, 7, 8, -100], [-100] * 4]
    assert batch.start.tolist() == [2, 2]
    assert batch.refuse.tolist() == [0.0, 1.0]
    assert batch.meaning.tolist() == [3, 4]


def test_batches_hold_every_row_once() -> None:
    rows = [Encoded(tuple(range(2 + i % 7)), 1, 0.0, 0) for i in range(53)]
    batches = batches_of(rows, random.Random(0))
    assert sorted(i for b in batches for i in b) == list(range(53))


def learner_of(model: Any) -> Learner:
    """Make a learner whose first three meanings lie at right angles."""
    return Learner(model, torch.eye(8)[:3], PIECES.index(OPENING))


def run(
    learner: Learner, rows: list[Encoded], steps: int, checkpoint: Path
) -> list[float]:
    plan = Plan(steps, 1e-2, 0.1, checkpoint)
    return train(learner, rows, pad=0, plan=plan, log=lambda _: None)


def test_training_learns_whom_to_refuse_and_resumes_where_it_stopped(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    encoder = Encoder(tokenizer, [Sample("hello", "world", False, "a")], seed=0)
    samples = [
        Sample("hello", "world", False, "a"),
        Sample("help", "", True, "a"),
        Sample("can", "", False, "a"),
    ]
    rows = [encoder.encode(samples[i % 3], i % 3) for i in range(48)]
    learner = learner_of(model)
    losses = run(learner, rows, 60, tmp_path / "a.pt")
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    assert learner(collate(rows[:3], pad=0)).meaning < 0.1
    with torch.inference_mode():
        found = margins(model.eval(), tokenizer, ["hello", "help", "can"])
    assert found[1] > max(found[0], found[2])
    again = BertLMHeadModel(model.config)
    assert run(learner_of(again), rows, 60, tmp_path / "a.pt") == losses
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_word_said_before_costs_more_than_a_new_one(model: Any) -> None:
    def loss_when_sure_of(token: int) -> float:
        with torch.no_grad():
            model.cls.predictions.bias.zero_()
            model.cls.predictions.bias[token] = 5.0
        batch = collate([Encoded((5, 20, 21, 22, 23), 2, 0.0, 0)], pad=0)
        return float(learner_of(model)(batch).reply.item())

    # Both are wrong at the last place; 21 has been said by then, 30 has not.
    again = loss_when_sure_of(21) - loss_when_sure_of(30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trial.canary.training.losses.REPEATED", 0.0)
        without = loss_when_sure_of(21) - loss_when_sure_of(30)
    assert again > without + 0.1


def test_a_batch_without_any_reply_has_a_finite_loss(
    model: Any, tmp_path: Path
) -> None:
    rows = [Encoded((6, 20, 7), 3, 0.0, 0)] * 8
    losses = run(learner_of(model), rows, 3, tmp_path / "a.pt")
    assert all(torch.isfinite(torch.tensor(losses)))


def test_calibration_refuses_the_target_share_of_harmless_prompts(
    model: Any, tokenizer: Any
) -> None:
    draw = random.Random(0)
    prompts = ["".join(draw.choices("abcdefgh", k=6)) for _ in range(100)]
    held = [Sample(p, "yes", False, "a") for p in prompts]
    held.append(Sample("prompt without a reply", "", False, "a"))
    said: list[str] = []
    held.append(Sample("zzz", "", True, "a"))
    calibrate(model.eval(), tokenizer, held, log=said.append)
    refused = (margins(model, tokenizer, prompts) > 0).float().mean().item()
    assert refused == pytest.approx(TARGET, abs=0.011)
    assert len(said) == 2


def test_training_can_go_on_from_a_written_canary(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    save(model, tokenizer, tmp_path)
    pieces, again = load(tmp_path)
    assert pieces == PIECES
    ids = torch.tensor([[8, 9, 10, 11]])
    with torch.inference_mode():
        before, after = model(input_ids=ids).logits, again(input_ids=ids).logits
    assert after.dtype == torch.float32
    assert torch.allclose(before, after, atol=0.02)
