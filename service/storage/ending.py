"""Ending: who is told that a screening ended, and with the last one its batch."""

from typing import Any, Final, get_args

from sqlalchemy import Connection, select

from service.report.report import OutcomeName
from service.storage.batch import Batch, count_batches
from service.storage.screening import Status, now
from service.storage.tables import BATCHES, SCREENINGS
from service.storage.webhooks import announce

S: Final = SCREENINGS.c
B: Final = BATCHES.c


def tell_end(connection: Connection, screening_id: str) -> None:
    """Have the tenant's webhooks told that a screening ended, without content.

    Call it once, in the transaction that ends the screening.
    """
    wanted = select(S.id, S.status, S.outcome, S.fault_code, S.tenant, S.batch)
    row = connection.execute(wanted.where(S.id == screening_id)).mappings().one()
    data = {name: row[name] for name in ("id", "status", "outcome", "fault_code")}
    announce(connection, now(), row["tenant"], f"screening.{row['status']}", data)
    tell_batch_end(connection, row["batch"])


def tell_batch_end(connection: Connection, batch_id: str | None) -> None:
    """Have them told of a batch, if what has just ended was the last open one of it.

    Call it in the transaction in which an open screening ended or was deleted. The
    batch is held until that commits: of two that end at once the later one sees the
    earlier, so one of the two is the last, and no more than one.
    """
    if batch_id is None:
        return
    held = select(BATCHES).where(B.id == batch_id).with_for_update()
    row = connection.execute(held).mappings().first()
    if row is None:
        return
    (batch,) = count_batches(connection, [row])
    if batch.statuses and batch.status == "finished":
        announce(connection, now(), row["tenant"], "batch.finished", _summary(batch))


def _summary(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "status": batch.status,
        "outcome": batch.outcome,
        "size": batch.size,
        "statuses": {each: batch.statuses.get(each, 0) for each in get_args(Status)},
        "outcomes": {
            each: batch.outcomes.get(each, 0) for each in get_args(OutcomeName)
        },
    }
