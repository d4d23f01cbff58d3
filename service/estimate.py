"""Estimate: how long a screening will still take, by how long the last ones took."""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from sqlalchemy import Engine, select

from service.storage.database import reading
from service.storage.screening import Screening, now
from service.storage.stages import FETCH, READ, Lap, laps_of, seconds_between
from service.storage.store import S
from service.storage.tables import SCREENINGS

RECENT: Final = 50
"""Finished screenings that are looked at: machines and models change."""

NEAREST: Final = 5
"""Of those, as many as are nearest in rows are believed."""

KEEP_SECONDS: Final = 15.0

Laps = Mapping[str, Lap]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a screening is: its stage, how far in it and for how long, what is over."""

    stage: str
    done: int
    total: int
    elapsed_seconds: float
    laps: Laps


def seconds_left(standing: Standing, history: Sequence[Laps]) -> float | None:
    """Return the seconds of work left, not counting waits; None without history.

    `history` has the stages of finished screenings of the same kind. A stage that went
    over the rows takes time in proportion to them, any other one the time it took. The
    present stage is weighed between that and its own pace so far, by how far it is.
    """
    rows = standing.laps.get(READ, Lap(0.0, 0)).total
    near = sorted(history, key=lambda laps: _distance(laps, rows))[:NEAREST]
    if not near:
        return None
    over = {*standing.laps, standing.stage, FETCH}  # not all datasets are fetched
    later = [stage for stage in near[0] if stage not in over]
    ahead = sum(_expected(stage, near, rows) or 0.0 for stage in later)
    return ahead + _present(standing, _expected(standing.stage, near, rows))


def _present(standing: Standing, expected: float | None) -> float:
    if 0 < standing.total <= standing.done:
        return 0.0
    share = standing.done / standing.total if standing.total else 0.0
    usual = max(0.0, (expected or 0.0) - standing.elapsed_seconds)
    if not share:
        return usual
    paced = standing.elapsed_seconds * (1.0 - share) / share
    return paced if expected is None else share * paced + (1.0 - share) * usual


def _expected(stage: str, near: Sequence[Laps], rows: int) -> float | None:
    found = [_scaled(laps, stage, rows) for laps in near if stage in laps]
    return median(found) if found else None


def _scaled(laps: Laps, stage: str, rows: int) -> float:
    lap, then = laps[stage], laps.get(READ, Lap(0.0, 0)).total
    return lap.seconds * rows / then if then and lap.total == then else lap.seconds


def _distance(laps: Laps, rows: int) -> float:
    then = laps.get(READ, Lap(0.0, 0)).total
    return abs(math.log((then + 1) / (rows + 1)))


class Estimates:
    """Estimates from what the database knows; safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._reading = reading(engine)
        self._lock = threading.Lock()
        self._kept: dict[tuple[bool, str], tuple[float, list[Laps]]] = {}

    def left(self, screening: Screening) -> float | None:
        """Return the seconds that a running screening will still work; None unknown."""
        if screening.status != "running" or screening.stage_at is None:
            return None
        standing = Standing(
            screening.stage,
            screening.done,
            screening.total,
            seconds_between(screening.stage_at, now()),
            laps_of(screening.stages),
        )
        kind = (screening.run_trial, screening.base_model)
        return seconds_left(standing, self._history(kind))

    def _history(self, kind: tuple[bool, str]) -> list[Laps]:
        with self._lock:
            at, found = self._kept.get(kind, (-math.inf, []))
            if not found or time.monotonic() - at > KEEP_SECONDS:
                found = self._read(*kind)
                self._kept[kind] = (time.monotonic(), found)
            return found

    def _read(self, run_trial: bool, base_model: str) -> list[Laps]:
        asked = (
            select(S.stages, S.recipe)
            .select_from(SCREENINGS)
            .where(S.status == "finished", S.run_trial.is_(run_trial))
            .where(S.stages.is_not(None), S.deleted_at.is_(None))
            .order_by(S.number.desc())
            .limit(RECENT)
        )
        with self._reading.connect() as connection:
            rows = connection.execute(asked).all()
        return [
            laps_of(row.stages)
            for row in rows
            if not run_trial or row.recipe["base_model"] == base_model
        ]
