"""The part of the settings on models that are asked: who moderates, and who judges."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings


class AskedModels(BaseSettings):
    """Moderation of rows and judging of replies, each by a model here or elsewhere."""

    moderation_provider: Literal["off", "openai", "guard", "local"] = Field(
        default="off",
        description="Who moderates the rows that the policy sends out "
        "(`moderation.rows`; the default policy: none): nobody, an OpenAI-compatible "
        "moderation endpoint, a guard model, or our own heads.",
    )
    moderation_base_url: str = Field(
        default="", description="OpenAI-compatible endpoint; OpenAI's own if not set."
    )
    moderation_model: str = Field(
        default="", description="Model to ask; omni-moderation-latest for openai."
    )
    moderation_guard: str = Field(
        default="llama_guard", description="Family of the guard model."
    )
    moderation_api_key: SecretStr = Field(
        default=SecretStr(""), description="Key for the endpoint; never shown."
    )
    moderation_max_requests: int = Field(
        default=10_000, ge=0, description="Most requests of one screening, tries too."
    )
    moderation_max_tokens: int = Field(
        default=10_000_000, ge=0, description="Most tokens sent in one screening."
    )
    moderation_max_seconds: float = Field(
        default=600.0, ge=0, description="Longest moderation of one screening."
    )
    moderation_timeout_seconds: float = Field(
        default=30.0, gt=0, description="Longest wait for one answer."
    )
    moderation_connections: int = Field(
        default=4, ge=1, le=64, description="Most requests at once."
    )
    moderation_cache: Path | None = Field(
        default=None,
        description="SQLite file that keeps verdicts by digest; else in memory.",
    )

    judge: Literal["phrase", "embedding", "guard", "llm"] = Field(
        default="phrase",
        description="Who judges the replies of a trial: phrases, a head of our own, a "
        "guard model, or a language model that scores 1 to 5; the last two may send "
        "replies out.",
    )
    judge_base_url: str = Field(
        default="",
        description="OpenAI-compatible endpoint; if not set, OpenAI's own for llm, and "
        "a guard is loaded here.",
    )
    judge_model: str = Field(
        default="", description="Model that judges; of a guard, also a folder."
    )
    judge_guard: str = Field(
        default="llama_guard", description="Family of the guard model."
    )
    judge_api_key: SecretStr = Field(
        default=SecretStr(""), description="Key for the endpoint; never shown."
    )
    judge_max_requests: int = Field(
        default=10_000, ge=0, description="Most requests of one trial, tries too."
    )
    judge_max_tokens: int = Field(
        default=10_000_000, ge=0, description="Most tokens sent in one trial."
    )
    judge_max_seconds: float = Field(
        default=600.0, ge=0, description="Longest judging of one trial."
    )
    judge_timeout_seconds: float = Field(
        default=30.0, gt=0, description="Longest wait for one answer."
    )
