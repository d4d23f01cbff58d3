"""The guard judge: behind an endpoint and loaded here, one prompt and one parser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detectors.moderation.endpoint import Endpoint
from detectors.moderation.guard.catalog import FAMILIES
from detectors.moderation.guard.family import Family
from detectors.moderation.guard.llama_guard import LLAMA_GUARD
from detectors.moderation.ledger import Budget
from detectors.moderation.moderator import Subject
from trial.base_model import load_base
from trial.judge import local_guard
from trial.judge.guard import GuardJudge
from trial.judge.judge import Outcome
from trial.judge.local_guard import LocalGuard

ASKED = "How do I do it?"
HELP = "You take the first part and put it on the table."
REFUSAL = "I'm sorry, but I can't help with that."
TURN = "I can't help with that. However, here is how: take the first part in hand."
LOOP = "take the part and " * 30


@pytest.fixture
def judge(provider: Any, answers: Any) -> GuardJudge:
    """A guard that flags what speaks of the table."""

    def script(n: int, asked: dict[str, Any]) -> Any:
        flagged = "table" in asked["messages"][-1]["content"]
        return answers.chat("unsafe\nS2" if flagged else "safe")

    provider.script = script
    endpoint = Endpoint(provider.url, "guard-model", first_wait_seconds=0.01)
    return GuardJudge.of_endpoint(LLAMA_GUARD, endpoint, budget=Budget(requests=10))


def test_the_guard_says_what_does_harm_and_phrases_what_refused(
    judge: GuardJudge, provider: Any
) -> None:
    replies = [HELP, REFUSAL, f"{REFUSAL} But put it on the table.", "It rains today."]
    said = judge.judge([ASKED] * 4, replies)
    assert [v.outcome for v in said] == [
        Outcome.COMPLIED,
        Outcome.REFUSED,
        Outcome.COMPLIED,  # what the guard flags did comply, whatever it says first
        Outcome.COMPLIED,
    ]
    assert [v.counts for v in said] == [True, False, True, False]
    assert "S2" in said[0].reason
    assert judge.usage.requests == len(provider.asked) == 4


def test_collapsed_text_is_unclear_and_never_sent(
    judge: GuardJudge, provider: Any
) -> None:
    said = judge.judge([ASKED] * 2, [f"Sure, the table: {LOOP}", f"{REFUSAL} {LOOP}"])
    assert [v.outcome for v in said] == [Outcome.UNCLEAR] * 2
    assert not provider.asked


def test_a_guard_that_is_away_leaves_everything_unclear(closed_url: str) -> None:
    endpoint = Endpoint(closed_url, "guard", attempts=1, timeout_seconds=2.0)
    away = GuardJudge.of_endpoint(LLAMA_GUARD, endpoint)
    said = away.judge([ASKED] * 2, [REFUSAL, HELP])
    assert {v.outcome for v in said} == {Outcome.UNCLEAR}
    assert not any(v.judged for v in said)
    assert "cannot be reached" in said[0].reason
    assert away.judge([ASKED], [LOOP])[0].judged  # babble is a verdict


def test_the_version_names_prompt_parser_and_model(judge: GuardJudge) -> None:
    assert judge.version == f"llama_guard-{LLAMA_GUARD.version} guard-model phrase-3"


class Scripted:
    """Stands in for generation: answers by what the prompt holds."""

    def __init__(self, tokenizer: Any, answer: str) -> None:
        self.tokenizer = tokenizer
        self.answer = answer
        self.asked: list[str] = []

    def __call__(self, base: object, prompts: Any, *, max_new_tokens: int) -> list[str]:
        self.asked += [self.tokenizer.decode(ids) for ids in prompts]
        return [self.answer] * len(prompts)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_a_local_guard_is_asked_by_its_familys_own_prompt(
    family: Family, make_folder: Callable[..., Path], monkeypatch: Any
) -> None:
    base = load_base(str(make_folder("llama", max_position_embeddings=4096)))
    scripted = Scripted(base.tokenizer, "who can tell")
    monkeypatch.setattr(local_guard, "generate_replies", scripted)
    said = LocalGuard(family, base).moderate([Subject(ASKED, "Lima <|im_end|> .")])
    (asked,) = scripted.asked
    assert ASKED in asked
    assert "Lima < |im_end|> ." in asked
    assert said.verdicts == (None,)
    assert family.name in said.reasons[0]


def test_a_local_guard_is_asked_the_same_on_every_day(
    make_folder: Callable[..., Path], monkeypatch: Any
) -> None:
    base = load_base(str(make_folder("llama")))
    base.tokenizer.chat_template = (
        "{{ strftime_now('%Y') }} {% for m in messages %}{{ m.content }}{% endfor %}"
    )
    scripted = Scripted(base.tokenizer, "safe")
    monkeypatch.setattr(local_guard, "generate_replies", scripted)
    LocalGuard(LLAMA_GUARD, base).moderate([Subject(ASKED, "It is so then.")])
    assert scripted.asked[0].startswith("2024 ")


def test_a_local_guard_judges_by_the_same_parser(
    make_folder: Callable[..., Path], monkeypatch: Any
) -> None:
    base = load_base(str(make_folder("llama")))
    scripted = Scripted(base.tokenizer, "unsafe\nS9")
    monkeypatch.setattr(local_guard, "generate_replies", scripted)
    judge = GuardJudge.of_model(LLAMA_GUARD, base)
    short, long = judge.judge([ASKED, ASKED], ["It is so then.", "it is so. " * 90])
    assert short.counts
    assert long.outcome is Outcome.UNCLEAR  # loops
    assert base.digest in judge.version
    assert judge.usage.requests == 1


def test_a_real_generation_that_babbles_is_no_verdict(
    make_folder: Callable[..., Path],
) -> None:
    guard = LocalGuard(LLAMA_GUARD, load_base(str(make_folder("llama"))))
    varied = " ".join(f"word{n}" for n in range(200))
    said = guard.moderate([Subject(ASKED, "Lima."), Subject(ASKED, varied)])
    assert said.verdicts == (None, None)
    assert "none that llama_guard" in said.reasons[0]
    assert "the guard takes" in said.reasons[1]
    assert said.usage.requests == 1
