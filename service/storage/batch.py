"""Batch: screenings asked for together, and how many of them are how far."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import Connection, RowMapping, func, select

from service.report.report import OutcomeName
from service.storage.screening import OVER
from service.storage.tables import SCREENINGS

S: Final = SCREENINGS.c

BatchStatus = Literal["queued", "running", "finished"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Screenings asked for together, and how many of them are how far.

    `size` is how many were asked for, deleted ones included. `statuses` and `outcomes`
    count those that are there. Times are UTC, ISO 8601.
    """

    id: str
    name: str
    size: int
    created_at: str
    cancelled_at: str | None = None
    statuses: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)

    @property
    def status(self) -> BatchStatus:
        """Say how far the whole is."""
        left = sum(self.statuses.values())
        if sum(self.statuses.get(each, 0) for each in OVER) == left:
            return "finished"
        return "queued" if self.statuses.get("queued", 0) == left else "running"

    @property
    def outcome(self) -> OutcomeName | None:
        """Return the gravest outcome, once all are over.

        A screening that failed or was deleted says nothing: REVIEW at best.
        """
        if self.status != "finished":
            return None
        if self.outcomes.get("REJECT"):
            return "REJECT"
        return "ACCEPT" if self.outcomes.get("ACCEPT", 0) == self.size else "REVIEW"


def count_batches(
    connection: Connection, rows: Sequence[RowMapping | dict[str, Any]]
) -> list[Batch]:
    """Return the batches of rows, counted as the connection sees their screenings."""
    ids = [row["id"] for row in rows]
    asked = (
        select(S.batch, S.status, S.outcome, func.count())
        .where(S.batch.in_(ids), S.deleted_at.is_(None))
        .group_by(S.batch, S.status, S.outcome)
    )
    statuses: dict[str, dict[str, int]] = {each: {} for each in ids}
    outcomes: dict[str, dict[str, int]] = {each: {} for each in ids}
    for batch, status, outcome, count in connection.execute(asked):
        statuses[batch][status] = statuses[batch].get(status, 0) + count
        if outcome is not None:
            outcomes[batch][outcome] = outcomes[batch].get(outcome, 0) + count
    return [
        Batch(
            id=row["id"],
            name=row["name"],
            size=row["size"],
            created_at=row["created_at"],
            cancelled_at=row["cancelled_at"],
            statuses=statuses[row["id"]],
            outcomes=outcomes[row["id"]],
        )
        for row in rows
    ]
