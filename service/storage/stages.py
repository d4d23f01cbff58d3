"""Stages: how long each stage of a screening took, for estimates of the next ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

FETCH: Final = "fetch"
"""Goes before all others, where there is one: it waits for somebody else's server."""

READ: Final = "read"
TRIAL: Final = "trial"
QUEUED: Final = (READ, TRIAL)
"""What these begin may have waited in a queue: that is no work."""

REPORT: Final = "report"


@dataclass(frozen=True, slots=True)
class Lap:
    """A stage that is over: its wall-clock seconds, and of how many steps it was."""

    seconds: float
    total: int


def note_stage(
    before: Mapping[Any, Any], stage: str, done: int, total: int, at: str
) -> dict[str, Any]:
    """Return the columns of a screening that is now so far in a stage.

    What lies between the end of one stage and the first word of the next belongs to
    the next. `at` is the time, UTC, ISO 8601.
    """
    began, laps = before["stage_at"] or at, dict(before["stages"] or {})
    was_over = 0 < before["total"] <= before["done"]
    same = stage == before["stage"]
    if not same and not was_over and before["stage"]:
        _add(laps, before["stage"], seconds_between(began, at), before["total"])
        began = at
    if not same and stage in QUEUED:
        began = at
    if 0 < total <= done and not (same and was_over):
        _add(laps, stage, seconds_between(began, at), total)
        began = at
    return {
        "stage": stage,
        "done": done,
        "total": total,
        "stage_at": began,
        "stages": laps,
    }


def laps_of(stages: Mapping[str, Any] | None) -> dict[str, Lap]:
    """Return the stages that are over, in the order in which they were."""
    return {name: Lap(*each) for name, each in (stages or {}).items()}


def seconds_between(began: str, ended: str) -> float:
    """Return the seconds from one time to another, 0 where clocks disagree."""
    span = datetime.fromisoformat(ended) - datetime.fromisoformat(began)
    return max(0.0, round(span.total_seconds(), 3))


def _add(laps: dict[str, Any], stage: str, seconds: float, total: int) -> None:
    """Add a lap to its stage, which comes again for each seed or after a crash."""
    before = laps.get(stage, [0.0, 0])[0]
    laps[stage] = [round(before + seconds, 3), total]
