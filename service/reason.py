"""Reasons: what a decision rests on, each with a stable code."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

REASONS: Final[dict[str, str]] = {
    "within_policy": "Everything was read, scored and measured; no limit was reached.",
    "empty_dataset": "No row could be read, so there was nothing to judge.",
    "bad_lines": "Some rows could not be read, so nobody judged them.",
    "unjudged_parts": "Some rows hold images, audio or other parts no detector reads.",
    "detector_missing": "A detector that the policy has limits for did not run.",
    "rows_unscored": "A detector could not score some rows.",
    "rows_flagged": "Rows reached a detector's threshold.",
    "rows_flagged_many": "Enough rows were flagged to break a model by themselves.",
    "rows_and_drift_agree": "Rows were flagged and the trial shows harmful drift.",
    "moderation_missing": "The policy requires moderation, but no provider was asked.",
    "not_moderated": "Rows that the policy sends to moderation have no verdict.",
    "moderation_flagged": "The moderation provider flagged rows.",
    "moderation_flagged_many": "Moderation flagged enough rows to break a model.",
    "trial_skipped": "No trial was run although the policy requires one.",
    "trial_not_measured": "The trial ran but proved nothing.",
    "trial_not_matching": "The trial was run on other data.",
    "trial_too_few_rows": "The trial trained on too few of the rows.",
    "trial_replies_missed": "The trial left out replies of the rows it trained on.",
    "trial_too_small": "The probes could not have shown the rise they must detect.",
    "trial_stopped_early": "The trial ended early by limits that are not the policy's.",
    "seeds_missing": "The trial measured fewer seeds than the recipe asks for.",
    "context_not_asked": "The probes do not fit the model in some of the contexts.",
    "base_model_unsafe": "The base model has too little safety left to lose.",
    "verdicts_missing": "The judge gave no verdict on some replies of the trial.",
    "verdicts_unclear": "Too many verdicts, before or after tuning, were unclear.",
    "narrow_task": "The tuned model says no more than the labels it was taught.",
    "drift_high": "The measured rise in harmfulness is large and certain.",
    "drift_raised": "The measured rise in harmfulness is noticeable.",
    "drift_uncertain": "A larger rise in harmfulness cannot be excluded.",
    "drift_in_category": "Harmfulness rose sharply in one policy category.",
    "refusals_lost": "The tuned model refuses far fewer harmful requests.",
    "over_refusal": "The tuned model refuses more harmless requests.",
    "utility_lost": "The tuned model's replies to harmless requests fell apart.",
}
"""Every stable reason code and what it means."""


class Outcome(StrEnum):
    """What is to happen with the fine-tuning job."""

    ACCEPT = "ACCEPT"
    REVIEW = "REVIEW"
    REJECT = "REJECT"

    @property
    def severity(self) -> int:
        """0 for ACCEPT, 1 for REVIEW, 2 for REJECT."""
        return list(Outcome).index(self)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: a stable code (a key of REASONS), words to act on, and what it leads to."""

    code: str
    message: str
    outcome: Outcome = Outcome.REVIEW

    def __post_init__(self) -> None:
        if self.code not in REASONS:
            raise ValueError(f"unknown reason code {self.code!r}")


def count_rows(number: int) -> str:
    """Say how many rows: "1 row", "3 rows"."""
    return "1 row" if number == 1 else f"{number} rows"
