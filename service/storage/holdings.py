"""Holdings: the screenings of one tenant, and the only way to them from outside."""

from sqlalchemy import ColumnElement, RowMapping, and_, select

from service.storage.checkpoint import report_key
from service.storage.database import reading
from service.storage.datasets import Upload
from service.storage.screening import SCREENING_ID, Job, Screening, job_of, screening_of
from service.storage.store import S, Store
from service.storage.tables import DATASETS, SCREENINGS


class Holdings:
    """Reads what a tenant has. What another has does not exist here."""

    def __init__(self, store: Store, tenant: str) -> None:
        self._objects = store.objects
        self._reading = reading(store.engine)
        self._tenant = tenant
        self._mine: ColumnElement[bool] = and_(
            S.tenant == tenant, S.deleted_at.is_(None)
        )

    def get(self, screening_id: str) -> Screening | None:
        """Return the screening, or None where the tenant has none of that id."""
        row = self._find(screening_id)
        return None if row is None else screening_of(row)

    def finished(self, screening_id: str) -> Job | None:
        """Return what was done in a screening; None where it is not finished.

        OtherVersion where another version of Tunegate did it.
        """
        row = self._find(screening_id)
        done = row is not None and row["status"] == "finished"
        return job_of(row) if done and row is not None else None

    def page(
        self, *, after: str = "", limit: int, status: str = "", batch: str = ""
    ) -> tuple[list[Screening], bool]:
        """Return screenings, newest first, and whether more follow.

        `after` is the id of the last one seen, which may be deleted by now; KeyError
        where it is unknown.
        """
        asked = select(SCREENINGS).where(self._mine)
        if status:
            asked = asked.where(S.status == status)
        if batch:
            asked = asked.where(S.batch == batch)
        if after:
            asked = asked.where(S.number < self._number(after))
        with self._reading.connect() as connection:
            asked = asked.order_by(S.number.desc()).limit(limit + 1)
            rows = connection.execute(asked).mappings().all()
        return [screening_of(row) for row in rows[:limit]], len(rows) > limit

    def dataset(self, digest: str) -> Upload | None:
        """Return a dataset that one of the tenant's screenings holds; None if none."""
        asked = select(S.form, DATASETS.c.size_bytes).join(
            DATASETS, DATASETS.c.digest == S.dataset
        )
        with self._reading.connect() as connection:
            found = connection.execute(asked.where(S.dataset == digest, self._mine))
            row = found.first()
        return None if row is None else Upload("", digest, row.size_bytes, row.form)

    def report(self, screening_id: str) -> bytes:
        """Return the report; FileNotFoundError where there is none."""
        row = self._find(screening_id)
        if row is None or row["report"] is None:
            raise FileNotFoundError(screening_id)
        return self._objects.get(report_key(screening_id, row["report"]))

    def _number(self, screening_id: str) -> int:
        """Return the place of a screening, deleted or not; KeyError if unknown."""
        found = None
        if SCREENING_ID.fullmatch(screening_id):
            here = (S.id == screening_id, S.tenant == self._tenant)
            with self._reading.connect() as connection:
                found = connection.execute(select(S.number).where(*here)).scalar()
        if found is None:
            raise KeyError(screening_id)
        return int(found)

    def _find(self, screening_id: str) -> RowMapping | None:
        if not SCREENING_ID.fullmatch(screening_id):
            return None
        asked = select(SCREENINGS).where(S.id == screening_id, self._mine)
        with self._reading.connect() as connection:
            return connection.execute(asked).mappings().first()
