"""Maps the categories of the sources to the policy categories; rows to fit them on."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from detectors.taxonomy import CATEGORIES
from detectors.training.labelled_rows import labelled_requests
from detectors.training.labels import CATEGORY_CODES
from detectors.training.sources import Row, distinct, read_source

_CATQA: Final = {
    "Illegal Activity": "illegal_activity",
    "Child Abuse": "child_abuse",
    "Hate/Harass/Violence": "hate_harass_violence",
    "Malware Viruses": "malware",
    "Malware": "malware",
    "Physical Harm": "physical_harm",
    "Economic Harm": "economic_harm",
    "Fraud/Deception": "fraud_deception",
    "Adult Content": "adult_content",
    "Political Campaigning": "political_campaigning",
    "Privacy Violation Activity": "privacy_violation",
    "Tailored Financial Advice": "tailored_financial_advice",
}
_HARMBENCH: Final = {
    "chemical_biological": "physical_harm",
    "cybercrime_intrusion": "malware",
    "illegal": "illegal_activity",
    "misinformation_disinformation": "fraud_deception",
    "harassment_bullying": "hate_harass_violence",
}
_FORBIDDEN: Final = {
    "Illegal Activity": "illegal_activity",
    "Hate Speech": "hate_harass_violence",
    "Malware": "malware",
    "Physical Harm": "physical_harm",
    "Economic Harm": "economic_harm",
    "Fraud": "fraud_deception",
    "Pornography": "adult_content",
    "Political Lobbying": "political_campaigning",
    "Privacy Violence": "privacy_violation",
    "Financial Advice": "tailored_financial_advice",
}
_MODERATION: Final = {
    "S": "adult_content",
    "H": "hate_harass_violence",
    "HR": "hate_harass_violence",
    "SH": "physical_harm",
    "V": "hate_harass_violence",
}


def _catqa(row: Row) -> str:
    return _CATQA.get(str(row.label.get("category")).split(" > ")[0].strip(), "")


def _moderation(row: Row) -> str:
    """Name a category where the moderators marked exactly one."""
    marked = {to for mark, to in _MODERATION.items() if row.label.get(mark) == 1}
    return marked.pop() if len(marked) == 1 else ""


CATEGORY_SOURCES: Final[dict[str, Callable[[Row], str]]] = {
    "prompt_catqa_harmfulqa": _catqa,
    "prompt_harmbench": lambda row: _HARMBENCH.get(str(row.label.get("category")), ""),
    "prompt_forbidden_question_set": lambda row: _FORBIDDEN.get(
        str(row.label.get("category")), ""
    ),
    "prompt_openai_moderation": _moderation,
}


def category_rows(data: Path) -> list[tuple[Row, int]]:
    """Rows with the index of their category in `taxonomy.CATEGORIES`."""
    keys = list(CATEGORIES)
    rows = [
        (row, category_of(row))
        for name, category_of in CATEGORY_SOURCES.items()
        for row in distinct(read_source(data, name))
    ]
    rows += [
        (row, CATEGORY_CODES.get(code[1:], "")) for row, code in labelled_requests(data)
    ]
    return [(row, keys.index(category)) for row, category in rows if category]
