"""Azure AI Content Safety: four categories, each with a severity."""

from typing import Final

from detectors.taxonomies.taxonomy_map import TaxonomyMap

AZURE: Final = TaxonomyMap(
    name="azure",
    source=(
        "https://learn.microsoft.com/azure/ai-services/content-safety/concepts/"
        "harm-categories"
    ),
    categories={
        "hate_fairness": "Hate and fairness",
        "sexual": "Sexual",
        "violence": "Violence",
        "self_harm": "Self-harm",
    },
    to_policy={
        "hate_fairness": "hate_harass_violence",
        "sexual": "adult_content",
        "violence": "hate_harass_violence",
        "self_harm": "physical_harm",
    },
    from_policy={
        "illegal_activity": (),
        "child_abuse": ("sexual",),
        "hate_harass_violence": ("hate_fairness", "violence"),
        "malware": (),
        "physical_harm": ("violence", "self_harm"),
        "economic_harm": (),
        "fraud_deception": (),
        "adult_content": ("sexual",),
        "political_campaigning": (),
        "privacy_violation": (),
        "tailored_financial_advice": (),
    },
    notes={
        "sexual": "child abuse is inside it and cannot be told apart",
        "violence": "weapons and injury too, which are physical harm",
        "illegal_activity": "crime without violence, hate or sex is not moderated",
        "malware": "no category on malicious code",
        "economic_harm": "no category on money",
        "fraud_deception": "no category on deception",
        "political_campaigning": "no category on politics",
        "privacy_violation": "no category on personal data",
        "tailored_financial_advice": "no category on professional advice",
    },
)
