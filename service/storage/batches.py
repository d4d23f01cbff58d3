"""Batches: many screenings asked for at once, with one status and one summary."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    Connection,
    RowMapping,
    and_,
    delete,
    exists,
    insert,
    select,
    update,
)

from service.caller import Caller
from service.storage import audit
from service.storage.batch import Batch, count_batches
from service.storage.database import reading
from service.storage.datasets import Given, Link
from service.storage.once import NEVER, Once
from service.storage.queue import Queue
from service.storage.screening import (
    OVER,
    Order,
    new_screening,
    now,
    request_digest,
)
from service.storage.store import KeyReused, S, Store, note_accepted
from service.storage.tables import BATCHES
from service.text import storable

B: Final = BATCHES.c
BATCH_ID: Final = re.compile(r"bat_[0-9a-f]{24}")
CURSOR: Final = re.compile(r"(bat_[0-9a-f]{24})(?:\.([0-9]{1,18}))?")
"""The last batch of a page and its number, which outlives it; once it was the id."""


class Batches:
    """The batches of one tenant; what is another's does not exist here."""

    def __init__(self, store: Store, queue: Queue, caller: Caller) -> None:
        self._store = store
        self._queue = queue
        self._caller = caller
        self._reading = reading(store.engine)
        self._mine = B.tenant == caller.tenant

    def accept(
        self, name: str, asked: Sequence[tuple[Order, Given]], *, once: Once = NEVER
    ) -> Batch:
        """List and queue every screening of a batch: all, or nothing.

        What was accepted under its key before is returned instead. Errors as of
        `Store.accept`; the uploads are gone either way.
        """
        accept = partial(self._accept, name, asked, once)
        return self._store.in_turn(accept, [given for _, given in asked], once)

    def accepted(self, once: Once) -> Batch | None:
        """Return what was accepted of just this request before; None where nothing."""
        if not once.key:
            return None
        with self._reading.connect() as connection:
            found = self._under(connection, once)
            same = [found] if found and found["request"] == once.request else []
            return next(iter(count_batches(connection, same)), None)

    def find(self, batch_id: str) -> Batch | None:
        """Return a batch with its counts; None where there is none of that id."""
        if not BATCH_ID.fullmatch(batch_id):
            return None
        with self._reading.connect() as connection:
            asked = select(BATCHES).where(self._mine, B.id == batch_id)
            rows = connection.execute(asked).mappings().all()
            return next(iter(count_batches(connection, rows)), None)

    def page(self, *, after: str = "", limit: int) -> tuple[list[Batch], str]:
        """Return batches, newest first, and the cursor of the next page, "" at the end.

        `after` is such a cursor; KeyError where it is none.
        """
        asked = select(BATCHES).where(self._mine).order_by(B.number.desc())
        with self._reading.connect() as connection:
            if after:
                asked = asked.where(B.number < self._number(connection, after))
            rows = connection.execute(asked.limit(limit + 1)).mappings().all()
            found = count_batches(connection, rows[:limit])
        if len(rows) <= limit:
            return found, ""
        return found, f"{rows[limit - 1]['id']}.{rows[limit - 1]['number']}"

    def screenings(self, batch_id: str, *, over_first: bool = False) -> list[str]:
        """Return the ids of a batch's screenings, in the order they were given.

        With `over_first` those that are open come last.
        """
        here = and_(S.tenant == self._caller.tenant, S.deleted_at.is_(None))
        asked = select(S.id).where(here, S.batch == batch_id)
        if over_first:
            asked = asked.order_by(S.status.notin_(OVER))
        asked = asked.order_by(S.number)
        with self._reading.connect() as connection:
            return list(connection.execute(asked).scalars())

    def cancelled(self, batch_id: str) -> Batch | None:
        """Note that a batch was cancelled; None where there is none of that id."""
        here = (self._mine, B.id == batch_id, B.cancelled_at.is_(None))
        with self._store.engine.begin() as connection:
            mark = update(BATCHES).where(*here).values(cancelled_at=now())
            if connection.execute(mark).rowcount:
                self._note(connection, "cancelled", batch_id, {})
        return self.find(batch_id)

    def remove(self, batch_id: str) -> bool:
        """Forget a batch; False where there is none of that id."""
        with self._store.engine.begin() as connection:
            gone = delete(BATCHES).where(self._mine, B.id == batch_id)
            removed = connection.execute(gone).rowcount > 0
            if removed:
                self._note(connection, "deleted", batch_id, {})
        return removed

    def _number(self, connection: Connection, cursor: str) -> int:
        """Return the number that a cursor stands for; KeyError where it is none."""
        parts = CURSOR.fullmatch(cursor)
        number: int | None = None
        if parts and parts[2]:
            number = int(parts[2])
        elif parts:
            asked = select(B.number).where(self._mine, B.id == parts[1])
            number = connection.execute(asked).scalar()
        if number is None:
            raise KeyError(cursor)
        return number

    def _accept(
        self, name: str, asked: Sequence[tuple[Order, Given]], once: Once
    ) -> Batch:
        with self._store.engine.begin() as connection:
            before = self._under(connection, once) if once.key else None
            if before is not None:
                if not once.fits(before["request"], _digest(name, asked)):
                    raise KeyReused
                for _, given in asked:
                    self._store.datasets.discard(given)
                return count_batches(connection, [before])[0]
            self._store.admit(connection, self._caller.tenant, len(asked))
            row: dict[str, Any] = {
                "id": f"bat_{secrets.token_hex(12)}",
                "tenant": self._caller.tenant,
                "name": storable(name),
                "size": len(asked),
                "created_at": now(),
            }
            connection.execute(insert(BATCHES).values(**row, **once.columns()))
            self._enter(connection, row["id"], asked)
            made = Batch(row["id"], row["name"], row["size"], row["created_at"])
            self._note(connection, "accepted", made.id, {"size": made.size})
            (batch,) = count_batches(connection, [{**row, "cancelled_at": None}])
        return batch

    def _enter(
        self,
        connection: Connection,
        batch_id: str,
        asked: Sequence[tuple[Order, Given]],
    ) -> None:
        """List the screenings: locks first and in one order, the record last."""
        here = [given for _, given in asked if not isinstance(given, Link)]
        for upload in sorted(here, key=lambda each: each.digest):
            self._store.datasets.claim(connection, upload, now())
        made = [
            (new_screening(order, self._caller), order, each) for order, each in asked
        ]
        for screening, order, given in made:
            parts = (screening, order, given, self._queue)
            self._store.enter(connection, *parts, batch=batch_id)
        for screening, order, given in made:
            note_accepted(connection, screening.id, order, given, self._caller)

    def _under(self, connection: Connection, once: Once) -> RowMapping | None:
        asked = select(BATCHES).where(self._mine, B.idempotency_key == once.key)
        return connection.execute(asked).mappings().first()

    def _note(
        self, connection: Connection, action: str, batch_id: str, facts: audit.Facts
    ) -> None:
        audit.note(connection, now(), action, batch_id, facts, by=self._caller)


def sweep_batches(connection: Connection) -> None:
    """Forget the batches of which every screening is deleted."""
    held = exists().where(S.batch == B.id, S.deleted_at.is_(None))
    connection.execute(delete(BATCHES).where(~held))


def _digest(name: str, asked: Sequence[tuple[Order, Given]]) -> str:
    """Return what earlier versions kept with a key: see `request_digest`."""
    said = [name, *(request_digest(order, given) for order, given in asked)]
    return hashlib.sha256("\x00".join(said).encode("utf-8", "replace")).hexdigest()
