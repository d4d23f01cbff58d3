"""Deletion: what a customer deletes is gone, and the audit record says that it was."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import func, select, update

from service.caller import Caller
from service.storage import audit
from service.storage.checkpoint import Checkpoints
from service.storage.database import reading
from service.storage.ending import tell_batch_end
from service.storage.screening import OVER, now
from service.storage.store import S, Store
from service.storage.tables import SCREENINGS

GRACE_SECONDS: Final = 60.0
"""How long a deleted screening's row stays, so that a step that was still writing is
cleared after too."""

DELETED_NAME: Final = "(deleted)"


class Deletion:
    """Deletes screenings with their rows, findings, reports and adapters.

    First the row is marked, which hides it and stops its work; then the objects go,
    and the dataset where no other screening holds it. A crash in between is made good
    by `finish`, which is called now and then.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def delete(self, screening_id: str, by: Caller | None = None) -> bool:
        """Delete a screening; False where there is none of that id.

        With `by` one of that caller's tenant, without it anyone's.
        """
        if not self._mark(screening_id, by):
            return False
        self._clear(screening_id)
        return True

    def trim(self, max_kept: int) -> list[str]:
        """Delete every tenant's oldest that are over, beyond those kept; return ids.

        It is each tenant's own number: nobody pushes out what is another's.
        """
        kept, count = S.deleted_at.is_(None), func.count()
        with reading(self._store.engine).connect() as connection:
            asked = select(S.tenant, count).where(kept).group_by(S.tenant)
            many = connection.execute(asked.having(count > max_kept)).all()
            found: list[str] = []
            for tenant, held in many:
                old = select(S.id).where(kept, S.tenant == tenant, S.status.in_(OVER))
                oldest = old.order_by(S.number).limit(held - max_kept)
                found += connection.execute(oldest).scalars()
        return [each for each in found if self.delete(each)]

    def expire(self, days: int) -> list[str]:
        """Delete those that ended more than some days ago; return their ids."""
        limit = datetime.now(UTC) - timedelta(days=days)
        with reading(self._store.engine).connect() as connection:
            old = select(S.id).where(
                S.finished_at < limit.isoformat(timespec="milliseconds"),
                S.deleted_at.is_(None),
            )
            found = list(connection.execute(old).scalars())
        return [each for each in found if self.delete(each)]

    def finish(self) -> list[str]:
        """Clear again what was deleted a while ago; return the ids now cleared."""
        limit = datetime.now(UTC) - timedelta(seconds=GRACE_SECONDS)
        with reading(self._store.engine).connect() as connection:
            left = select(S.id).where(
                S.deleted_at < limit.isoformat(timespec="milliseconds"),
                S.purged_at.is_(None),
            )
            found = list(connection.execute(left).scalars())
        for screening_id in found:
            self._clear(screening_id)
            with self._store.engine.begin() as connection:
                done = update(SCREENINGS).where(S.id == screening_id)
                connection.execute(done.values(purged_at=now()))
        return found

    def _mark(self, screening_id: str, by: Caller | None) -> bool:
        """Hide the row, and take from it whatever the customer's words are in."""
        found = self._store.get(screening_id)
        if found is None or (by is not None and found.tenant != by.tenant):
            return False
        with self._store.engine.begin() as connection:
            mark = update(SCREENINGS).where(
                S.id == screening_id, S.deleted_at.is_(None)
            )
            blank = {"name": DELETED_NAME, "stage": "", "fault_message": None}
            blank |= {"idempotency_key": None, "request": None, "source": None}
            at = now()
            mark = mark.values(deleted_at=at, policy={}, recipe={}, **blank)
            marked = connection.execute(mark.returning(S.status, S.batch)).first()
            if marked is None:
                return False
            if marked.status not in OVER:
                tell_batch_end(connection, marked.batch)
            who = by or Caller(found.tenant, "", frozenset())
            audit.note(connection, at, "deleted", screening_id, {}, by=who)
        return True

    def _clear(self, screening_id: str) -> None:
        Checkpoints(self._store.objects, screening_id).clear()
        with self._store.engine.begin() as connection:
            held = select(S.dataset).where(S.id == screening_id)
            digest = connection.execute(held).scalar()
            if digest is None:
                return
            row = update(SCREENINGS).where(S.id == screening_id)
            connection.execute(row.values(dataset=None))
            self._store.datasets.release(connection, digest)
