"""The judge that the settings name, and the trial run with it."""

from typing import Any

import trial.run
from detectors.dataset import Dataset
from detectors.embedding import Encoder
from detectors.errors import InputError
from detectors.moderation.endpoint import OPENAI_URL, Endpoint
from detectors.moderation.guard.catalog import find_family
from detectors.moderation.guard.family import Family
from detectors.moderation.ledger import Budget
from service.screening import TrialRunner
from service.settings import Settings
from trial.base_model import load_base
from trial.judge.embedding import EmbeddingJudge
from trial.judge.guard import GuardJudge
from trial.judge.judge import Judge
from trial.judge.llm import LlmJudge
from trial.judge.phrase import PhraseJudge
from trial.recipe import Recipe
from trial.trial import Trial


def load_judge(settings: Settings, encoder: Encoder) -> Judge:
    """Return the judge of the settings, its budget unspent; InputError if amiss.

    A guard without an address is a model loaded here, by name or folder.
    """
    match settings.judge:
        case "phrase":
            return PhraseJudge()
        case "embedding":
            return EmbeddingJudge(encoder)
        case "llm":
            return LlmJudge.of_endpoint(_endpoint(settings), budget=_budget(settings))
        case "guard":
            family = _family(settings)
            if settings.judge_base_url:
                return GuardJudge.of_endpoint(
                    family, _endpoint(settings), budget=_budget(settings)
                )
            if not settings.judge_model:
                raise InputError("set TUNEGATE_JUDGE_MODEL to the guard model")
            return GuardJudge.of_model(family, load_base(settings.judge_model))


def check_judge(settings: Settings) -> str:
    """Say what the settings name, without asking or loading it."""
    if settings.judge in ("phrase", "embedding"):
        return settings.judge
    if settings.judge == "guard":
        _family(settings)
        if not settings.judge_base_url:
            if not settings.judge_model:
                raise InputError("set TUNEGATE_JUDGE_MODEL to the guard model")
            return f"guard {settings.judge_guard} {settings.judge_model}, loaded here"
    asked = _endpoint(settings)
    return f"{settings.judge} {asked.model} at {settings.judge_base_url or OPENAI_URL}"


def judged_runner(settings: Settings) -> TrialRunner | None:
    """Return a trial with the judge of the settings; None: the default one's.

    Every trial has a judge, and a budget, of its own.
    """
    if settings.judge == "phrase":
        return None
    check_judge(settings)

    def run(
        dataset: Dataset,
        recipe: Recipe,
        *,
        encoder: Encoder,
        **asked: Any,
    ) -> Trial:
        return trial.run.run_trial(
            dataset,
            recipe,
            encoder=encoder,
            judge=load_judge(settings, encoder),
            **asked,
        )

    return run


def _endpoint(settings: Settings) -> Endpoint:
    key = settings.judge_api_key.get_secret_value().strip()
    base_url = settings.judge_base_url or OPENAI_URL
    if base_url == OPENAI_URL and not key:
        raise InputError("set TUNEGATE_JUDGE_API_KEY, or TUNEGATE_JUDGE_BASE_URL")
    if not settings.judge_model:
        raise InputError("set TUNEGATE_JUDGE_MODEL to the model that judges")
    try:
        return Endpoint(
            base_url=base_url,
            model=settings.judge_model,
            api_key=key,
            timeout_seconds=settings.judge_timeout_seconds,
        )
    except InputError as error:
        raise InputError(f"the judge's endpoint: {error}") from error


def _budget(settings: Settings) -> Budget:
    return Budget(
        requests=settings.judge_max_requests,
        tokens=settings.judge_max_tokens,
        seconds=settings.judge_max_seconds,
    )


def _family(settings: Settings) -> Family:
    return find_family(settings.judge_guard, "TUNEGATE_JUDGE_GUARD")
