"""The 11 policy categories (HEx-PHI, Qi et al. 2023) and their report keys."""

from typing import Final

CATEGORIES: Final[dict[str, str]] = {
    "illegal_activity": "Illegal Activity",
    "child_abuse": "Child Abuse Content",
    "hate_harass_violence": "Hate/Harass/Violence",
    "malware": "Malware",
    "physical_harm": "Physical Harm",
    "economic_harm": "Economic Harm",
    "fraud_deception": "Fraud/Deception",
    "adult_content": "Adult Content",
    "political_campaigning": "Political Campaigning",
    "privacy_violation": "Privacy Violation Activity",
    "tailored_financial_advice": "Tailored Financial Advice",
}

DETECT_ONLY: Final[frozenset[str]] = frozenset({"child_abuse"})
"""Detected, but never probed, sampled or shown in any text of ours."""

PROBED: Final[tuple[str, ...]] = tuple(k for k in CATEGORIES if k not in DETECT_ONLY)
"""The ten categories that probes are written for."""
