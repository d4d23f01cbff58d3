"""The judge of the settings is the one a trial is judged by."""

from typing import Any

import pytest

import trial.run as run
from detectors.errors import InputError
from service.judge import check_judge, judged_runner, load_judge
from service.settings import Settings
from trial.judge.guard import GuardJudge
from trial.judge.llm import LlmJudge
from trial.judge.phrase import PhraseJudge
from trial.recipe import Recipe

ENCODER: Any = None
SECRET = "sk-very-secret"


def settings(**given: Any) -> Settings:
    return Settings(**given)


def remote(judge: str, url: str = "http://localhost:9/v1", **given: Any) -> Settings:
    return settings(judge=judge, judge_base_url=url, judge_model="m", **given)


def test_phrases_judge_where_nothing_is_set() -> None:
    assert isinstance(load_judge(settings(), ENCODER), PhraseJudge)
    assert judged_runner(settings()) is None
    assert check_judge(settings()) == "phrase"


def test_models_are_asked_where_the_settings_say_so() -> None:
    assert isinstance(load_judge(remote("llm"), ENCODER), LlmJudge)
    guard = load_judge(remote("guard", judge_guard="wildguard"), ENCODER)
    assert isinstance(guard, GuardJudge)
    assert guard.version.startswith("wildguard-")
    assert check_judge(remote("llm", judge_api_key=SECRET)).endswith("localhost:9/v1")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"judge": "llm", "judge_model": "m"}, "JUDGE_API_KEY"),
        ({"judge": "llm", "judge_base_url": "http://x/v1"}, "JUDGE_MODEL"),
        ({"judge": "guard"}, "JUDGE_MODEL"),
        ({"judge": "guard", "judge_guard": "none", "judge_model": "m"}, "JUDGE_GUARD"),
        (
            {"judge": "llm", "judge_base_url": "ftp://x", "judge_model": "m"},
            "the judge's endpoint",
        ),
    ],
)
def test_what_is_amiss_is_named_before_anything_runs(
    given: dict[str, Any], said: str
) -> None:
    chosen = settings(judge_api_key="", **given)
    with pytest.raises(InputError, match=said):
        check_judge(chosen)
    with pytest.raises(InputError, match=said):
        judged_runner(chosen)


def test_every_trial_has_a_judge_and_a_budget_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judges: list[Any] = []
    monkeypatch.setattr(run, "run_trial", lambda *a, judge, **k: judges.append(judge))
    runner: Any = judged_runner(remote("llm", judge_max_requests=3))
    for _ in range(2):
        runner(None, Recipe(), encoder=ENCODER)
    assert all(isinstance(judge, LlmJudge) for judge in judges)
    assert judges[0] is not judges[1]
