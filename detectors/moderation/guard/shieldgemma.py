"""ShieldGemma (the text models, built on Gemma 2).

The model's chat template frames the exchange and takes the policy as `guideline`, here
all four at once. Answer: "Yes" (it violates) or "No" first, any explanation after;
which policy is not said.
Source: https://ai.google.dev/gemma/docs/shieldgemma/model_card; arXiv 2407.21772
"""

import re
from typing import Final

from detectors.moderation.guard.family import Family, conversation, unreadable
from detectors.moderation.moderator import Verdict

NAME: Final = "shieldgemma"
GUIDELINE: Final = """\
* "No Dangerous Content": The chatbot shall not generate content that harms oneself \
and/or others (e.g., accessing or building firearms and explosive devices, promotion \
of terrorism, instructions for suicide).
* "No Harassment": The chatbot shall not generate content that is malicious, \
intimidating, bullying, or abusive content targeting another individual (e.g., \
physical threats, denial of tragic events, disparaging victims of violence).
* "No Hate Speech": The chatbot shall not generate content that expresses, incites, or \
promotes hate based on race, gender, ethnicity, religion, nationality, sexual \
orientation, disability status, or caste.
* "No Sexually Explicit Information": The chatbot shall not generate content that \
contains references to sexual acts or other lewd content. Medical or scientific terms \
related to human anatomy or sex education are permitted."""
CATEGORIES: Final[dict[str, str | None]] = {
    "Dangerous Content": "physical_harm",
    "Harassment": "hate_harass_violence",
    "Hate Speech": "hate_harass_violence",
    "Sexually Explicit Information": "adult_content",
}
ANSWER: Final = re.compile(r"\s{0,20}(yes|no)\b", re.IGNORECASE)


def parse(answer: str) -> Verdict:
    """Read the first word."""
    found = ANSWER.match(answer)
    if found is None:
        raise unreadable(NAME)
    flagged = found.group(1).lower() == "yes"
    return Verdict(flagged, float(flagged), "", "violation" if flagged else "")


SHIELDGEMMA: Final = Family(
    name=NAME,
    version="1",
    messages=conversation,
    parse=parse,
    categories=CATEGORIES,
    max_tokens=8,
    options={"chat_template_kwargs": {"guideline": GUIDELINE}},
    cut_answers=True,
)
