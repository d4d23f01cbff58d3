"""What moderation leads to: pure, part of the gate."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from detectors.moderation.off import REASON as OFF
from detectors.moderation.off import Off
from service.finding import name_lines
from service.moderation import Moderated
from service.policy import ModerationLimits
from service.reason import Outcome, Reason, count_rows

REASONS_SHOWN: Final = 3


def moderation_reasons(
    limits: ModerationLimits,
    lines: Sequence[int],
    moderated: Moderated | None,
    *,
    drifted: bool,
) -> list[Reason]:
    """Return the reasons; `moderated` is None where moderation was not run at all."""
    if moderated is None or moderated.provider == Off.name:
        why = "moderation was not run" if moderated is None else OFF
        said = f"The policy requires moderation, but {why}. Configure one and repeat."
        return [Reason("moderation_missing", said)] if limits.required else []
    if len(moderated.rows) != len(lines):
        raise ValueError(f"moderation is of {len(moderated.rows)} of {len(lines)} rows")
    missing = _missing_reasons(limits, lines, moderated)
    return missing + _flag_reasons(limits, lines, moderated, drifted=drifted)


def _missing_reasons(
    limits: ModerationLimits, lines: Sequence[int], moderated: Moderated
) -> list[Reason]:
    missed = moderated.missed
    if not limits.required or len(missed) <= limits.max_missed * moderated.asked:
        return []
    said = (
        f"{count_rows(len(missed))} of {moderated.asked} to be moderated by "
        f"{moderated.provider} were not ({words(moderated)}). Act on that and screen "
        f"again, or review {name_lines([lines[index] for index in missed])}."
    )
    return [Reason("not_moderated", said)]


def words(moderated: Moderated) -> str:
    """Say why rows were not moderated, the most frequent reasons first."""
    counted = count_reasons(moderated).most_common(REASONS_SHOWN)
    return "; ".join(f"{reason[:120]}: {number}" for reason, number in counted)


def count_reasons(moderated: Moderated) -> Counter[str]:
    """Count the rows that were not moderated by the reason."""
    rows = (moderated.rows[index] for index in moderated.missed)
    return Counter(row.reason for row in rows if row is not None)


def _flag_reasons(
    limits: ModerationLimits,
    lines: Sequence[int],
    moderated: Moderated,
    *,
    drifted: bool,
) -> list[Reason]:
    indices = moderated.flagged(limits)
    if not indices:
        return []
    flagged = [lines[index] for index in indices]
    number, part = len(flagged), len(flagged) / len(lines)
    said = (
        f"Moderation by {moderated.provider} flagged {count_rows(number)} ({part:.1%} "
        f"of all). Remove or review {name_lines(flagged)}."
    )
    if number >= limits.reject_rows and part >= limits.reject_share:
        return [Reason("moderation_flagged_many", said, Outcome.REJECT)]
    if drifted and number >= limits.agree_rows and part >= limits.agree_share:
        said += " The trial shows harmful drift too."
        return [Reason("rows_and_drift_agree", said, Outcome.REJECT)]
    enough = number >= limits.review_rows and part >= limits.review_share
    sure = max(map(moderated.score, indices)) >= limits.sure_score
    return [Reason("moderation_flagged", said)] if enough or sure else []
