"""Store: every screening asked for, in the database; one change is one transaction."""

import hashlib
import json
import re
import secrets
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol, cast

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

from service.caller import DEFAULT_TENANT, Caller
from service.policy import Policy
from service.report.report import OutcomeName
from service.storage import audit
from service.storage.checkpoint import report_key
from service.storage.database import reading
from service.storage.datasets import Datasets, Upload
from service.storage.objects import ObjectStore
from service.storage.stages import note_stage
from service.storage.tables import SCREENINGS
from service.storage.webhooks import announce
from service.text import clean
from trial.recipe import Recipe

Status = Literal["queued", "running", "finished", "failed"]
OPEN: Final = ("queued", "running")
OVER: Final = ("finished", "failed")
SCREENING_ID: Final = re.compile(r"scr_[0-9a-f]{24}")
S: Final = SCREENINGS.c


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a screening failed: a stable code and words."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Screening:
    """One screening asked for, and how far it is. Times are UTC, ISO 8601."""

    id: str
    name: str
    created_at: str
    status: Status = "queued"
    stage: str = ""
    done: int = 0
    total: int = 0
    outcome: OutcomeName | None = None
    fault: Fault | None = None
    finished_at: str | None = None
    report: str | None = None
    tenant: str = DEFAULT_TENANT
    run_trial: bool = True
    base_model: str = ""
    stage_at: str | None = None
    stages: Mapping[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in OVER


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of a screening."""

    name: str
    policy: Policy
    recipe: Recipe
    run_trial: bool


@dataclass(frozen=True, slots=True)
class Job:
    """An order accepted: the dataset by its digest, and in which form it came."""

    screening_id: str
    order: Order
    dataset: str
    form: str
    started_at: str


class QueueFull(Exception):
    """As many screenings are open as are allowed to."""


class TenantFull(Exception):
    """As many screenings of one tenant are open as are allowed to."""


class KeyReused(Exception):
    """An idempotency key came before, with another request."""


class Queue(Protocol):
    """Takes a screening to be worked on, in the transaction that accepts it."""

    def enqueue(self, connection: Connection, screening_id: str, tenant: str) -> None:
        """Queue a tenant's screening; nothing happens before the commit."""
        ...


def now() -> str:
    """Return the time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Store:
    """Screenings by id; safe to use from several threads and processes.

    At most `max_open` are accepted and not over, besides one that runs; of one tenant
    at most `max_each`, 0: as many as that.
    """

    def __init__(
        self,
        engine: Engine,
        objects: ObjectStore,
        *,
        max_open: int = 16,
        max_each: int = 0,
    ) -> None:
        self.engine = engine
        self.objects = objects
        self.datasets = Datasets(objects)
        self._reading = reading(engine)
        self._max_open = max_open
        self._max_each = max_each
        # SQLite has writers sleep until it is their turn, up to 0.1 s a time.
        shared = engine.dialect.name != "sqlite"
        self._turn: AbstractContextManager[Any] = (
            nullcontext() if shared else threading.Lock()
        )

    def accept(
        self, order: Order, upload: Upload, queue: Queue, *, by: Caller, once: str = ""
    ) -> Screening:
        """List a tenant's screening, claim its dataset and queue it: all, or nothing.

        `once` is the digest of an idempotency key: what was accepted under it before is
        returned instead. QueueFull or TenantFull where too many are open, KeyReused
        where the key came with another request. The upload is gone either way.
        """
        try:
            with self._turn:
                try:
                    return self._accept(order, upload, queue, by, once)
                except IntegrityError:  # the same key at once: the other was first
                    if not once:
                        raise
                    return self._accept(order, upload, queue, by, once)
        except BaseException:
            self.drop(upload)
            raise

    def _accept(
        self, order: Order, upload: Upload, queue: Queue, by: Caller, once: str
    ) -> Screening:
        request = request_digest(order, upload)
        with self.engine.begin() as connection:
            before = self._accepted(connection, by, once, request)
            if before is not None:
                self.datasets.discard(upload)
                return before
            self.admit(connection, by.tenant, 1)
            screening = new_screening(order, by)
            self.datasets.claim(connection, upload, screening.created_at)
            row = row_of(screening, order, upload)
            key = {"idempotency_key": once, "request": request} if once else {}
            connection.execute(insert(SCREENINGS).values(**row, **key))
            policy = order.policy.digest
            note(connection, screening.id, "accepted", by=by, policy=policy)
            queue.enqueue(connection, screening.id, by.tenant)
        return screening

    def _accepted(
        self, connection: Connection, by: Caller, once: str, request: str
    ) -> Screening | None:
        if not once:
            return None
        mine = (S.tenant == by.tenant, S.idempotency_key == once)
        found = connection.execute(select(SCREENINGS).where(*mine)).mappings().first()
        if found is None:
            return None
        if found["request"] != request:
            raise KeyReused
        return screening_of(found)

    def drop(self, upload: Upload) -> None:
        """Remove an upload that was not accepted, and what of it was claimed."""
        self.datasets.discard(upload)
        with self.engine.begin() as connection:
            self.datasets.release(connection, upload.digest)

    def get(self, screening_id: str) -> Screening | None:
        """Return the screening, whosever; None where there is none of that id."""
        row = self._find(screening_id)
        return None if row is None else screening_of(row)

    def job(self, screening_id: str) -> Job | None:
        """Return what is to be done; None where the screening is over or deleted."""
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

    def finish(self, screening_id: str, outcome: OutcomeName, report: bytes) -> bool:
        """Keep the report and the outcome; False where it is over or deleted already.

        A second run of the step changes nothing: a screening ends once.
        """
        digest = hashlib.sha256(report).hexdigest()
        self.objects.put(report_key(screening_id, digest), report)
        with self.engine.begin() as connection:
            ended = {"status": "finished", "stage": "", "finished_at": now()}
            values = {**ended, "outcome": outcome, "report": digest}
            changed = _change(connection, screening_id, values)
            if changed:
                _announce(connection, screening_id)
                note(connection, screening_id, "finished")
        return changed

    def fail(self, screening_id: str, fault: Fault) -> bool:
        """Keep why a screening failed; False where it is over or deleted already."""
        with self.engine.begin() as connection:
            values = {
                "status": "failed",
                "fault_code": fault.code,
                "fault_message": storable(fault.message),
                "finished_at": now(),
            }
            changed = _change(connection, screening_id, values)
            if changed:
                _announce(connection, screening_id)
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


def note(
    connection: Connection,
    screening_id: str,
    action: str,
    *,
    by: Caller | None = None,
    policy: str = "",
) -> None:
    """Append to the audit record what happened to a screening, and what it is now.

    Without `by` the service itself did it, for the screening's tenant.
    """
    wanted = (S.dataset, S.outcome, S.report, S.fault_code, S.tenant)
    found = connection.execute(select(*wanted).where(S.id == screening_id))
    facts = {k: v for k, v in found.mappings().one().items() if v is not None}
    caller = Caller(facts.pop("tenant"), "", frozenset())
    if policy:
        facts["policy"] = policy
    audit.note(connection, now(), action, screening_id, facts, by=by or caller)


def _announce(connection: Connection, screening_id: str) -> None:
    """Have the tenant's webhooks told that a screening ended, without content."""
    wanted = select(S.id, S.status, S.outcome, S.fault_code, S.tenant)
    row = connection.execute(wanted.where(S.id == screening_id)).mappings().one()
    data = {name: row[name] for name in ("id", "status", "outcome", "fault_code")}
    announce(connection, now(), row["tenant"], f"screening.{row['status']}", data)


def _change(
    connection: Connection, screening_id: str, values: Mapping[str, Any]
) -> bool:
    """Change a screening that is neither over nor deleted; say whether it was."""
    open_ = (S.status.notin_(OVER), S.deleted_at.is_(None))
    change = update(SCREENINGS).where(S.id == screening_id, *open_)
    return connection.execute(change.values(**values)).rowcount > 0


def new_screening(order: Order, by: Caller) -> Screening:
    """Return what an order of a caller's becomes."""
    name = f"scr_{secrets.token_hex(12)}"
    return Screening(name, order.name, now(), tenant=by.tenant)


def row_of(screening: Screening, order: Order, upload: Upload) -> dict[str, Any]:
    """Return the row of a screening that is queued."""
    return {
        "id": screening.id,
        "tenant": screening.tenant,
        "name": storable(screening.name),
        "created_at": screening.created_at,
        "status": screening.status,
        "stage": screening.stage,
        "done": screening.done,
        "total": screening.total,
        "dataset": upload.digest,
        "form": upload.form,
        "policy": order.policy.model_dump(mode="json"),
        "recipe": asdict(order.recipe),
        "run_trial": order.run_trial,
    }


def request_digest(order: Order, upload: Upload) -> str:
    """Return the SHA-256 of all that a request asks for."""
    said = {
        "name": order.name,
        "policy": order.policy.digest,
        "recipe": asdict(order.recipe),
        "run_trial": order.run_trial,
        "dataset": upload.digest,
        "form": upload.form,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def storable(text: str) -> str:
    """Return text that every database takes: PostgreSQL refuses U+0000."""
    return clean(text).replace("\x00", "\ufffd")


def _recipe(plain: Mapping[str, Any]) -> Recipe:
    targets: Sequence[str] = plain["targets"]
    return Recipe(**{**plain, "targets": tuple(targets)})


def job_of(row: RowMapping) -> Job:
    """Return what a row asks for."""
    order = Order(
        name=row["name"],
        policy=Policy.model_validate(row["policy"]),
        recipe=_recipe(row["recipe"]),
        run_trial=row["run_trial"],
    )
    started_at = row["started_at"] or row["created_at"]
    return Job(row["id"], order, row["dataset"], row["form"], started_at)


def screening_of(row: RowMapping) -> Screening:
    """Return the screening of a row."""
    code = row["fault_code"]
    return Screening(
        id=row["id"],
        name=row["name"],
        created_at=row["created_at"],
        status=cast(Status, row["status"]),
        stage=row["stage"],
        done=row["done"],
        total=row["total"],
        outcome=row["outcome"],
        fault=None if code is None else Fault(code, row["fault_message"]),
        finished_at=row["finished_at"],
        report=row["report"],
        tenant=row["tenant"],
        run_trial=row["run_trial"],
        base_model=row["recipe"].get("base_model", ""),
        stage_at=row["stage_at"],
        stages=row["stages"] or {},
    )
