"""Store: every screening asked for, in the database; one change is one transaction."""

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol, cast

from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, update

from service import audit
from service.checkpoint import report_key
from service.database import reading
from service.datasets import Datasets, Upload
from service.objects import ObjectStore
from service.policy import Policy
from service.report import OutcomeName
from service.tables import SCREENINGS
from service.text import clean
from trial.recipe import Recipe

Status = Literal["queued", "running", "finished", "failed"]
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


class Queue(Protocol):
    """Takes a screening to be worked on, in the transaction that accepts it."""

    def enqueue(self, connection: Connection, screening_id: str) -> None:
        """Queue a screening; nothing happens before the transaction commits."""
        ...


def now() -> str:
    """Return the time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Store:
    """Screenings by id; safe to use from several threads and processes.

    At most `max_open` are accepted and not over, besides one that runs.
    """

    def __init__(
        self,
        engine: Engine,
        objects: ObjectStore,
        *,
        max_open: int = 16,
    ) -> None:
        self.engine = engine
        self.objects = objects
        self.datasets = Datasets(objects)
        self._reading = reading(engine)
        self._max_open = max_open

    @property
    def full(self) -> bool:
        """Whether a further screening would be refused."""
        with self._reading.connect() as connection:
            return self._full(connection)

    def accept(self, order: Order, upload: Upload, queue: Queue) -> Screening:
        """List a screening, claim its dataset and queue it: all, or nothing.

        QueueFull where too many are open. The upload is gone either way.
        """
        screening = Screening(f"scr_{secrets.token_hex(12)}", order.name, now())
        try:
            with self.engine.begin() as connection:
                if self._full(connection):
                    raise QueueFull
                self.datasets.claim(connection, upload, screening.created_at)
                row = _row(screening, order, upload)
                connection.execute(insert(SCREENINGS).values(**row))
                self._note(connection, screening.id, "accepted", order=order)
                queue.enqueue(connection, screening.id)
        except BaseException:
            self.datasets.discard(upload)
            with self.engine.begin() as connection:
                self.datasets.release(connection, upload.digest)
            raise
        return screening

    def get(self, screening_id: str) -> Screening | None:
        """Return the screening, or None where there is none of that id."""
        row = self._find(screening_id)
        return None if row is None else _screening(row)

    def job(self, screening_id: str) -> Job | None:
        """Return what is to be done; None where the screening is over or deleted."""
        row = self._find(screening_id)
        if row is None or row["status"] in OVER:
            return None
        order = Order(
            name=row["name"],
            policy=Policy.model_validate(row["policy"]),
            recipe=_recipe(row["recipe"]),
            run_trial=row["run_trial"],
        )
        started_at = row["started_at"] or row["created_at"]
        return Job(screening_id, order, row["dataset"], row["form"], started_at)

    def page(
        self, *, after: str = "", limit: int, status: str = ""
    ) -> tuple[list[Screening], bool]:
        """Return screenings, newest first, and whether more follow.

        `after` is the id of the last one seen; KeyError where it is unknown.
        """
        asked = select(SCREENINGS).where(S.deleted_at.is_(None))
        if status:
            asked = asked.where(S.status == status)
        if after:
            last = self._find(after)
            if last is None:
                raise KeyError(after)
            asked = asked.where(S.number < last["number"])
        with self._reading.connect() as connection:
            asked = asked.order_by(S.number.desc()).limit(limit + 1)
            rows = connection.execute(asked).mappings().all()
        return [_screening(row) for row in rows[:limit]], len(rows) > limit

    def report(self, screening_id: str) -> bytes:
        """Return the report; FileNotFoundError where there is none."""
        row = self._find(screening_id)
        if row is None or row["report"] is None:
            raise FileNotFoundError(screening_id)
        return self.objects.get(report_key(screening_id, row["report"]))

    def start(self, screening_id: str) -> bool:
        """Note that a screening runs; False where it is over or deleted."""
        with self.engine.begin() as connection:
            began = {"started_at": func.coalesce(S.started_at, now())}
            return _change(connection, screening_id, {"status": "running", **began})

    def move(self, screening_id: str, stage: str, done: int, total: int) -> bool:
        """Note how far a screening is; False where it is over or deleted."""
        values = {"stage": stage, "done": done, "total": total}
        with self.engine.begin() as connection:
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
                self._note(connection, screening_id, "finished")
        return changed

    def fail(self, screening_id: str, fault: Fault) -> bool:
        """Keep why a screening failed; False where it is over or deleted already."""
        with self.engine.begin() as connection:
            values = {
                "status": "failed",
                "fault_code": fault.code,
                "fault_message": _storable(fault.message),
                "finished_at": now(),
            }
            changed = _change(connection, screening_id, values)
            if changed:
                self._note(connection, screening_id, "failed")
        return changed

    def open_screenings(self) -> list[str]:
        """Return the ids of those that are neither over nor deleted, oldest first."""
        asked = select(S.id).where(S.status.notin_(OVER), S.deleted_at.is_(None))
        with self._reading.connect() as connection:
            return list(connection.execute(asked.order_by(S.number)).scalars())

    def _full(self, connection: Connection) -> bool:
        open_ = (S.status.notin_(OVER), S.deleted_at.is_(None))
        asked = select(func.count()).select_from(SCREENINGS).where(*open_)
        return bool(connection.execute(asked).scalar_one() > self._max_open)

    def _find(self, screening_id: str) -> RowMapping | None:
        if not SCREENING_ID.fullmatch(screening_id):
            return None
        asked = select(SCREENINGS).where(S.id == screening_id, S.deleted_at.is_(None))
        with self._reading.connect() as connection:
            return connection.execute(asked).mappings().first()

    def _note(
        self,
        connection: Connection,
        screening_id: str,
        action: str,
        *,
        order: Order | None = None,
    ) -> None:
        wanted = (S.dataset, S.outcome, S.report, S.fault_code)
        found = connection.execute(select(*wanted).where(S.id == screening_id))
        facts = {k: v for k, v in found.mappings().one().items() if v is not None}
        if order is not None:
            facts["policy"] = order.policy.digest
        audit.note(connection, now(), action, screening_id, facts)


def _change(
    connection: Connection, screening_id: str, values: Mapping[str, Any]
) -> bool:
    """Change a screening that is neither over nor deleted; say whether it was."""
    open_ = (S.status.notin_(OVER), S.deleted_at.is_(None))
    change = update(SCREENINGS).where(S.id == screening_id, *open_)
    return connection.execute(change.values(**values)).rowcount > 0


def _row(screening: Screening, order: Order, upload: Upload) -> dict[str, Any]:
    return {
        "id": screening.id,
        "name": _storable(screening.name),
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


def _storable(text: str) -> str:
    """Return text that every database takes: PostgreSQL refuses U+0000."""
    return clean(text).replace("\x00", "\ufffd")


def _recipe(plain: Mapping[str, Any]) -> Recipe:
    targets: Sequence[str] = plain["targets"]
    return Recipe(**{**plain, "targets": tuple(targets)})


def _screening(row: RowMapping) -> Screening:
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
    )
