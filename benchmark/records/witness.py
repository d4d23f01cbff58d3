"""What was measured on one dataset, kept as JSON so that it can be decided on anew.

A decision follows from the scores of the rows and from the figures of the trial. Kept
are these alone: no text of a row, no reply, nothing that the gate does not look at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import TypeAdapter

from detectors.detector import Scores
from trial.trial import Trial

LEAST: Final = 0.2
"""Lower scores are kept as 0: no policy of ours flags rows there."""
DIGITS: Final = 4
RATE_DIGITS: Final = 6

_TRIAL: Final[TypeAdapter[Trial]] = TypeAdapter(Trial)


def kept_scores(scores: Sequence[Scores]) -> list[dict[str, Any]]:
    """Return the scores from LEAST on, by row, and why rows were not scored."""
    return [
        {
            "detector": each.detector,
            "version": each.version,
            "rows": len(each),
            "values": {
                str(row): round(value, DIGITS)
                for row, value in enumerate(each.values)
                if value is not None and value >= LEAST
            },
            "unscored": {
                str(row): reason for row, reason in enumerate(each.unscored) if reason
            },
        }
        for each in scores
    ]


def scores_of(kept: Sequence[Mapping[str, Any]]) -> list[Scores]:
    """Return scores as they were kept, without evidence and categories."""
    return [_scores(each) for each in kept]


def _scores(kept: Mapping[str, Any]) -> Scores:
    count = kept["rows"]
    unscored = tuple(kept["unscored"].get(str(row), "") for row in range(count))
    return Scores(
        detector=kept["detector"],
        version=kept["version"],
        values=tuple(
            None if reason else kept["values"].get(str(row), 0.0)
            for row, reason in enumerate(unscored)
        ),
        evidence=(None,) * count,
        categories=("",) * count,
        unscored=unscored,
    )


def kept_trial(trial: Trial) -> dict[str, Any]:
    """Return the figures of a trial; words that may quote rows are left out."""
    bare = replace(
        trial,
        replies=(),
        losses=(),
        context_details={},
        harmful_after={},
        first_tokens=None,
        mitigation=None,
        forgetting=None,
        attribution=None,
    )
    found = _TRIAL.dump_python(bare, mode="json", exclude_defaults=True)
    kept: dict[str, Any] = _rounded(found)
    return kept


def _rounded(found: Any) -> Any:
    if isinstance(found, float):
        return round(found, RATE_DIGITS)
    if isinstance(found, dict):
        return {name: _rounded(each) for name, each in found.items()}
    return [_rounded(each) for each in found] if isinstance(found, list) else found


def trial_of(kept: Mapping[str, Any]) -> Trial:
    """Return a trial as it was kept."""
    return _TRIAL.validate_python(kept)
