"""Qwen3Guard-Gen.

The model's chat template holds the policy; it judges the last message.
Answer: "Safety: Safe|Unsafe|Controversial", "Categories: A, B" or "None", and of a
reply also "Refusal: Yes|No". Controversial is not flagged: it has the score 0.5, so a
policy can flag it by its threshold.
Source: https://github.com/QwenLM/Qwen3Guard (README)
"""

from typing import Final

from detectors.moderation.guard.family import (
    Family,
    conversation,
    lines_of,
    unreadable,
)
from detectors.moderation.moderator import LABEL_CHARS, Verdict
from detectors.taxonomies.taxonomy_map import gravest

NAME: Final = "qwen3guard"
SCORES: Final = {"safe": 0.0, "controversial": 0.5, "unsafe": 1.0}
CATEGORIES: Final[dict[str, str | None]] = {
    "Violent": "physical_harm",
    "Non-violent Illegal Acts": "illegal_activity",
    "Sexual Content or Sexual Acts": "adult_content",
    "PII": "privacy_violation",
    "Personally Identifiable Information": "privacy_violation",
    "Suicide & Self-Harm": "physical_harm",
    "Unethical Acts": "hate_harass_violence",
    "Politically Sensitive Topics": "political_campaigning",
    "Copyright Violation": "illegal_activity",
    "Jailbreak": None,  # an attack on the model, not a harm of the 11
}
KEYS: Final = frozenset({"safety", "categories", "refusal"})


def parse(answer: str) -> Verdict:
    """Read an answer: each key at most once, the safety always."""
    said: dict[str, str] = {}
    for line in lines_of(answer):
        key, colon, value = line.partition(":")
        key = key.strip().lower()
        if not colon or key not in KEYS or key in said:
            raise unreadable(NAME)
        said[key] = value.strip()
    safety = said.get("safety", "").lower()
    if safety not in SCORES or said.get("refusal", "no").lower() not in ("yes", "no"):
        raise unreadable(NAME)
    named = [n.strip() for n in said.get("categories", "").split(",")]
    known = [name for name in named if name in CATEGORIES]
    homes = [home for name in known if (home := CATEGORIES[name])]
    return Verdict(
        flagged=safety == "unsafe",
        score=SCORES[safety],
        category=gravest(homes) if safety != "safe" else "",
        label=", ".join([safety, *known])[:LABEL_CHARS],
    )


QWEN3GUARD: Final = Family(
    name=NAME,
    version="1",
    messages=conversation,
    parse=parse,
    categories=CATEGORIES,
    max_tokens=128,
)
