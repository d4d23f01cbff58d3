"""Granite Guardian 3.0 to 3.3, asked for its umbrella risk "harm".

The model's chat template frames the exchange and takes the risk as `guardian_config`.
Answers: "Yes" or "No" (3.0, 3.1), followed by "<confidence> High </confidence>" (3.2),
or "<score> yes </score>", maybe after an empty or filled "<think>" (3.3). Yes means
that the risk is there.
Source: https://github.com/ibm-granite/granite-guardian; arXiv 2412.07724
"""

import re
from typing import Final

from detectors.moderation.guard.family import Family, conversation, unreadable
from detectors.moderation.moderator import Verdict

NAME: Final = "granite_guardian"
CATEGORIES: Final[dict[str, str | None]] = {
    "harm": None,  # the umbrella over all its risks: none of the 11 in particular
}
THOUGHT: Final = re.compile(r"\s*<think>[^<]*</think>", re.IGNORECASE)
SCORE: Final = re.compile(r"\s*<score>\s*(yes|no)\s*</score>\s*", re.IGNORECASE)
WORD: Final = re.compile(
    r"\s*(yes|no)\s*(?:<confidence>\s*(high|low)\s*</confidence>\s*)?", re.IGNORECASE
)


def parse(answer: str) -> Verdict:
    """Read an answer: one of the forms and nothing beside it."""
    rest = THOUGHT.sub("", answer, count=1) if THOUGHT.match(answer) else answer
    found = SCORE.fullmatch(rest) or WORD.fullmatch(rest)
    if found is None:
        raise unreadable(NAME)
    flagged = found.group(1).lower() == "yes"
    sure = (found.group(2) or "") if found.re is WORD else ""
    label = f"harm, confidence {sure.lower()}" if sure else "harm"
    return Verdict(flagged, float(flagged), "", label if flagged else "")


GRANITE_GUARDIAN: Final = Family(
    name=NAME,
    version="1",
    messages=conversation,
    parse=parse,
    categories=CATEGORIES,
    max_tokens=64,
    options={
        "chat_template_kwargs": {
            "guardian_config": {"risk_name": "harm", "criteria_id": "harm"},
        }
    },
)
