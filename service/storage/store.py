"""Store: every screening asked for, in the database; one change is one transaction."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import (
    Connection,
    Engine,
    RowMapping,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from service.caller import Caller
from service.report.report import OutcomeName
from service.storage import audit
from service.storage.certificates import keep_certificate
from service.storage.checkpoint import report_key
from service.storage.database import reading
from service.storage.datasets import Datasets, Given, Link
from service.storage.ending import tell_end
from service.storage.links import Links
from service.storage.objects import ObjectStore
from service.storage.once import NEVER, Once
from service.storage.queue import Queue
from service.storage.screening import (
    OVER,
    SCREENING_ID,
    Fault,
    Job,
    Order,
    Screening,
    job_of,
    new_screening,
    now,
    request_digest,
    row_of,
    screening_of,
)
from service.storage.sealing import Seal
from service.storage.stages import note_stage
from service.storage.tables import SCREENINGS
from service.storage.turn import Turn
from service.text import storable

OPEN: Final = ("queued", "running")
S: Final = SCREENINGS.c
Accepted = TypeVar("Accepted")


class QueueFull(Exception):
    """As many screenings are open as are allowed to."""


class TenantFull(Exception):
    """As many screenings of one tenant are open as are allowed to."""


class KeyReused(Exception):
    """An idempotency key came before, with another request."""


class Store:
    """Screenings by id; safe to use from several threads and processes.

    At most `max_open` are accepted and not over, besides one that runs; of one tenant
    at most `max_each`, 0: as many as that. `seal` is for URLs that are to be fetched.
    """

    def __init__(
        self,
        engine: Engine,
        objects: ObjectStore,
        *,
        seal: Seal | None = None,
        max_open: int = 16,
        max_each: int = 0,
    ) -> None:
        self.engine = engine
        self.objects = objects
        self.datasets = Datasets(objects)
        self.links = Links(engine, self.datasets, seal)
        self._reading = reading(engine)
        self._max_open = max_open
        self._max_each = max_each
        # SQLite has writers sleep until it is their turn, up to 0.1 s, in no order.
        shared = engine.dialect.name != "sqlite"
        self._turn: AbstractContextManager[Any] = nullcontext() if shared else Turn()

    def accept(
        self,
        order: Order,
        given: Given,
        queue: Queue,
        *,
        by: Caller,
        once: Once = NEVER,
    ) -> Screening:
        """List a tenant's screening, claim its dataset and queue it: all, or nothing.

        A link is queued to be fetched.

        What was accepted under its key before is returned instead. QueueFull or
        TenantFull where too many are open, KeyReused where the key came with another
        request. The upload is gone either way.
        """
        accept = partial(self._accept, order, given, queue, by, once)
        return self.in_turn(accept, [given], once)

    def accepted(self, by: Caller, once: Once) -> Screening | None:
        """Return what was accepted of just this request before; None where nothing."""
        if not once.key:
            return None
        with self._reading.connect() as connection:
            found = self._under(connection, by, once)
        if found is None or found["request"] != once.request:
            return None
        return screening_of(found)

    def in_turn(
        self, accept: Callable[[], Accepted], every: Sequence[Given], once: Once
    ) -> Accepted:
        """Return what is accepted, when its turn has come; else drop the uploads.

        Where the key came at the same time and was first, `accept` is called again, to
        find what the other one made: its rows may have taken the last room.
        """
        try:
            with self._turn:
                try:
                    return accept()
                except (IntegrityError, QueueFull, TenantFull):
                    if not once.key:
                        raise
                    return accept()
        except BaseException:
            for given in every:
                self.drop(given)
            raise

    def _accept(
        self, order: Order, given: Given, queue: Queue, by: Caller, once: Once
    ) -> Screening:
        with self.engine.begin() as connection:
            before = self._under(connection, by, once) if once.key else None
            if before is not None:
                if not once.fits(before["request"], request_digest(order, given)):
                    raise KeyReused
                self.datasets.discard(given)
                return screening_of(before)
            self.admit(connection, by.tenant, 1)
            screening = new_screening(order, by)
            self.datasets.claim(connection, given, screening.created_at)
            self.enter(connection, screening, order, given, queue, **once.columns())
            note_accepted(connection, screening.id, order, given, by)
        return screening

    def enter(
        self,
        connection: Connection,
        screening: Screening,
        order: Order,
        given: Given,
        queue: Queue,
        **columns: str,
    ) -> None:
        """Write the row of a screening, and queue it for what is to be done first."""
        row = row_of(screening, order, given) | self.links.column(given)
        connection.execute(insert(SCREENINGS).values(**row, **columns))
        linked = isinstance(given, Link)
        first = queue.enqueue_ingest if linked else queue.enqueue
        first(connection, screening.id, screening.tenant, screening.priority)

    def _under(
        self, connection: Connection, by: Caller, once: Once
    ) -> RowMapping | None:
        mine = (S.tenant == by.tenant, S.idempotency_key == once.key)
        return connection.execute(select(SCREENINGS).where(*mine)).mappings().first()

    def drop(self, given: Given) -> None:
        """Remove an upload that was not accepted, and what of it was claimed."""
        if isinstance(given, Link):
            return
        self.datasets.discard(given)
        with self.engine.begin() as connection:
            self.datasets.release(connection, given.digest)

    def get(self, screening_id: str) -> Screening | None:
        """Return the screening, whosever; None where there is none of that id."""
        row = self._find(screening_id)
        return None if row is None else screening_of(row)

    def job(self, screening_id: str) -> Job | None:
        """Return what is to be done; None where the screening is over or deleted.

        OtherVersion where another version of Tunegate was asked for it.
        """
        row = self._find(screening_id)
        if row is None or row["status"] in OVER:
            return None
        return job_of(row)

    def start(self, screening_id: str) -> bool:
        """Note that a screening runs; False where it is over or deleted."""
        with self.engine.begin() as connection:
            began = {"started_at": func.coalesce(S.started_at, now())}
            return _change(connection, screening_id, {"status": "running", **began})

    def move(self, screening_id: str, stage: str, done: int, total: int) -> bool:
        """Note how far a screening is; False where it is over or deleted."""
        wanted = select(S.stage, S.done, S.total, S.stage_at, S.stages)
        with self.engine.begin() as connection:
            found = connection.execute(wanted.where(S.id == screening_id))
            row = found.mappings().first()
            if row is None:
                return False
            values = note_stage(row, stage, done, total, now())
            return _change(connection, screening_id, values)

    def finish(
        self,
        screening_id: str,
        outcome: OutcomeName,
        report: bytes,
        certificate: bytes = b"",
    ) -> bool:
        """Keep the report and the outcome; False where it is over or deleted already.

        With them the certificate, where there is one. A second run of the step changes
        nothing: a screening ends once.
        """
        digest = hashlib.sha256(report).hexdigest()
        self.objects.put(report_key(screening_id, digest), report)
        with self.engine.begin() as connection:
            ended = {"status": "finished", "stage": "", "finished_at": now()}
            values = {**ended, "outcome": outcome, "report": digest}
            changed = _change(connection, screening_id, values)
            if changed:
                tell_end(connection, screening_id)
                facts: audit.Facts = {}
                if certificate:
                    digest = keep_certificate(connection, screening_id, certificate)
                    facts["certificate"] = digest
                note(connection, screening_id, "finished", facts)
        return changed

    def fail(self, screening_id: str, fault: Fault) -> bool:
        """Keep why a screening failed; False where it is over or deleted already."""
        with self.engine.begin() as connection:
            values = {
                "status": "failed",
                "fault_code": fault.code,
                "fault_message": storable(fault.message),
                "finished_at": now(),
                "source": None,
            }
            changed = _change(connection, screening_id, values)
            if changed:
                tell_end(connection, screening_id)
                note(connection, screening_id, "failed")
        return changed

    def open_screenings(self) -> list[str]:
        """Return the ids of those that are neither over nor deleted, oldest first."""
        asked = select(S.id).where(S.status.notin_(OVER), S.deleted_at.is_(None))
        with self._reading.connect() as connection:
            return list(connection.execute(asked.order_by(S.number)).scalars())

    def admit(self, connection: Connection, tenant: str, count: int) -> None:
        """Let so many further screenings in; QueueFull or TenantFull otherwise."""
        # Named, not excluded: so an index answers, and no row is read.
        open_ = (S.status.in_(OPEN), S.deleted_at.is_(None))
        every = select(func.count()).select_from(SCREENINGS).where(*open_)
        if connection.execute(every).scalar_one() + count > self._max_open + 1:
            raise QueueFull
        if not self._max_each:
            return
        own = connection.execute(every.where(S.tenant == tenant)).scalar_one()
        if own + count > self._max_each:
            raise TenantFull

    def _find(self, screening_id: str) -> RowMapping | None:
        if not SCREENING_ID.fullmatch(screening_id):
            return None
        asked = select(SCREENINGS).where(S.id == screening_id, S.deleted_at.is_(None))
        with self._reading.connect() as connection:
            return connection.execute(asked).mappings().first()


def note_accepted(
    connection: Connection, screening_id: str, order: Order, given: Given, by: Caller
) -> None:
    """Append to the audit record what was accepted, and from whom.

    To be the last of its transaction: appending takes turns.
    """
    facts: audit.Facts = {"policy": order.policy.digest}
    if not isinstance(given, Link):
        facts["dataset"] = given.digest
    audit.note(connection, now(), "accepted", screening_id, facts, by=by)


def note(
    connection: Connection,
    screening_id: str,
    action: str,
    more: audit.Facts | None = None,
) -> None:
    """Append what the service itself did to a screening, and what it is now."""
    wanted = (S.dataset, S.outcome, S.report, S.fault_code, S.tenant)
    found = connection.execute(select(*wanted).where(S.id == screening_id))
    facts = {k: v for k, v in found.mappings().one().items() if v is not None}
    facts |= more or {}
    caller = Caller(facts.pop("tenant"), "", frozenset())
    audit.note(connection, now(), action, screening_id, facts, by=caller)


def _change(
    connection: Connection, screening_id: str, values: Mapping[str, Any]
) -> bool:
    """Change a screening that is neither over nor deleted; say whether it was."""
    open_ = (S.status.notin_(OVER), S.deleted_at.is_(None))
    change = update(SCREENINGS).where(S.id == screening_id, *open_)
    return connection.execute(change.values(**values)).rowcount > 0
