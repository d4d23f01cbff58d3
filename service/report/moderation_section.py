"""The report's section on moderation."""

from detectors.dataset import Dataset
from service.moderation import Moderated
from service.moderation_gate import count_reasons
from service.policy import ModerationLimits
from service.report.report import MAX_UNSCORED_SHOWN, ModerationSection, UnscoredSection

SECONDS_DIGITS = 3


def moderation_section(
    limits: ModerationLimits, dataset: Dataset, moderated: Moderated
) -> ModerationSection:
    """Put what moderation said, left out and cost in report form."""
    missed, usage = moderated.missed, moderated.usage
    shown = [(dataset[i], moderated.rows[i]) for i in missed[:MAX_UNSCORED_SHOWN]]
    return ModerationSection(
        provider=moderated.provider,
        model=moderated.model,
        rows=limits.rows,
        required=limits.required,
        rows_asked=moderated.asked,
        flagged=len(moderated.flagged(limits)),
        not_moderated=len(missed),
        reasons=dict(sorted(count_reasons(moderated).items())),
        not_moderated_rows=tuple(
            UnscoredSection(line=example.origin.line, reason=row.reason)
            for example, row in shown
            if row is not None
        ),
        requests=usage.requests,
        tokens_estimated=usage.tokens,
        texts_cached=usage.cached,
        seconds=round(usage.seconds, SECONDS_DIGITS),
    )
