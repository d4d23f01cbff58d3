"""The moderator that the settings name."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from detectors.detector import Detector
from detectors.errors import InputError
from detectors.moderation.cache import FileCache, MemoryCache, VerdictCache
from detectors.moderation.dialect import Dialect
from detectors.moderation.endpoint import OPENAI_URL, Endpoint
from detectors.moderation.guard.catalog import find_family
from detectors.moderation.guard.dialect import GuardDialect
from detectors.moderation.guard.family import Family
from detectors.moderation.ledger import Budget
from detectors.moderation.local import Local
from detectors.moderation.moderator import Moderator, Usage
from detectors.moderation.off import Off
from detectors.moderation.openai import DEFAULT_MODEL, OpenAIDialect
from detectors.moderation.remote import RemoteModerator
from service.policy import Policy, default_policy
from service.settings import Settings

LOCAL_DETECTOR: Final = "explicit_harm"
NOTHING: Final = Usage()


def load_moderator(
    settings: Settings,
    detectors: Sequence[Detector],
    *,
    spent: Usage = NOTHING,
    cache: VerdictCache | None = None,
) -> Moderator:
    """Return the moderator that the settings name; InputError where they are amiss.

    `spent` is what earlier batches of the same screening have cost: the budget is for
    all of them. `cache` replaces the one that the settings name.
    """
    match settings.moderation_provider:
        case "off":
            return Off()
        case "local":
            return _local(detectors)
        case "openai":
            dialect: Dialect = OpenAIDialect()
        case "guard":
            dialect = GuardDialect(_family(settings))
    return RemoteModerator(
        dialect,
        endpoint(settings),
        budget=Budget(
            requests=max(0, settings.moderation_max_requests - spent.requests),
            tokens=max(0, settings.moderation_max_tokens - spent.tokens),
            seconds=max(0.0, settings.moderation_max_seconds - spent.seconds),
        ),
        cache=load_cache(settings) if cache is None else cache,
    )


def check_moderator(settings: Settings) -> str:
    """Say what the settings name, without asking it; InputError where they are amiss.

    The key is said to be there or not, and no more.
    """
    provider = settings.moderation_provider
    if provider in ("off", "local"):
        return provider
    family = _family(settings).name if provider == "guard" else ""
    asked = endpoint(settings)
    key = "with" if asked.api_key else "without"
    where = urlsplit(asked.base_url).netloc
    return " ".join([provider, family, asked.model, "at", where, key, "a key"])


def idle_moderation(settings: Settings, policy: Policy) -> str:
    """Say that a policy sends no rows to the provider there is; "" where it does."""
    provider = settings.moderation_provider
    if provider == "off" or policy.moderation.rows != "none":
        return ""
    return (
        f"the provider {provider} moderates no rows, for the policy {policy.name!r} "
        "sends none: set its moderation.rows to all or uncertain"
    )


def endpoint(settings: Settings) -> Endpoint:
    """Return where texts would go; InputError where that is not to be known."""
    openai = settings.moderation_provider == "openai"
    base_url = settings.moderation_base_url or (OPENAI_URL if openai else "")
    key = settings.moderation_api_key.get_secret_value().strip()
    if not base_url:
        raise InputError("set TUNEGATE_MODERATION_BASE_URL to the guard's endpoint")
    if base_url == OPENAI_URL and not key:
        raise InputError("set TUNEGATE_MODERATION_API_KEY to the key for OpenAI")
    return Endpoint(
        base_url=base_url,
        model=settings.moderation_model or (DEFAULT_MODEL if openai else ""),
        api_key=key,
        timeout_seconds=settings.moderation_timeout_seconds,
        connections=settings.moderation_connections,
    )


def _family(settings: Settings) -> Family:
    return find_family(settings.moderation_guard, "TUNEGATE_MODERATION_GUARD")


def _local(detectors: Sequence[Detector]) -> Moderator:
    for detector in detectors:
        if detector.name == LOCAL_DETECTOR:
            threshold = default_policy().rows(LOCAL_DETECTOR).row_threshold
            return Local(detector, threshold=threshold)
    raise InputError(f"moderation by local needs the detector {LOCAL_DETECTOR}")


def load_cache(settings: Settings) -> VerdictCache:
    """Return the cache of verdicts: the file of the settings, or memory."""
    path = settings.moderation_cache
    return MemoryCache() if path is None else FileCache(path)
