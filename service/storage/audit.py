"""The audit record: what happened, without content; append-only, and chained by hashes.

It outlives the screenings: `DELETE` takes rows, findings and reports, and leaves
digests, codes and outcomes here. Each event holds the SHA-256 of itself and of the one
before, so that one changed, left out or put in between breaks the chain. Only a cut at
its end cannot be seen from within: keep the last hash elsewhere, and ask for it.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, insert, select, text

from service.caller import Caller
from service.storage.tables import AUDIT_EVENTS

A: Final = AUDIT_EVENTS.c
CHAIN_LOCK: Final = 0x7475_6E66
"""Key of the PostgreSQL advisory lock under which events are appended one by one."""

START: Final = "0" * 64
"""What the first event follows."""

BATCH: Final = 1_000

Facts = dict[str, str | int | None]
"""Digests, codes, outcomes and numbers; never words of a dataset or its name."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that happened. `at` is UTC, ISO 8601.

    `subject` is the screening, key or other thing it happened to; `key` is the id of
    the key that asked for it, "" where the service itself did it or none was needed.
    """

    number: int
    at: str
    action: str
    subject: str
    tenant: str
    key: str
    facts: Facts
    hash: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of verifying the chain; `broken_at` is the first event that is wrong.

    `head` is the hash of the last event, `seen` whether the one asked for is there.
    """

    events: int
    head: str
    broken_at: int | None
    seen: bool

    @property
    def right(self) -> bool:
        """Whether the record is as it was written."""
        return self.broken_at is None and self.seen


def note(
    connection: Connection,
    at: str,
    action: str,
    subject: str,
    facts: Facts,
    *,
    by: Caller,
) -> None:
    """Append an event, in the transaction of the change that it is about.

    Nothing else should be locked after it in that transaction: appending takes turns.
    """
    if connection.dialect.name == "postgresql":  # SQLite's transactions take turns
        key = {"key": CHAIN_LOCK}
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), key)
    last = connection.execute(select(A.hash).order_by(A.number.desc()).limit(1))
    row: dict[str, Any] = {
        "at": at,
        "action": action,
        "subject": subject,
        "tenant": by.tenant,
        "key": by.key,
        "facts": facts,
    }
    row["hash"] = link(last.scalar() or START, row)
    connection.execute(insert(AUDIT_EVENTS).values(**row))


def link(before: str, event: dict[str, Any]) -> str:
    """Return the hash of an event that follows the one of hash `before`."""
    names = ("at", "action", "subject", "tenant", "key", "facts")
    said = {name: event[name] for name in names}
    plain = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{before}{plain}".encode("ascii")).hexdigest()


def events(connection: Connection, subject: str) -> list[AuditEvent]:
    """Return what happened to a screening or another subject, oldest first."""
    asked = select(AUDIT_EVENTS).where(A.subject == subject).order_by(A.number)
    return [AuditEvent(**row._mapping) for row in connection.execute(asked)]


def verify(connection: Connection, head: str = "") -> Verification:
    """Recompute the chain; `head` is the hash of an event that must be in it."""
    before, count, seen = START, 0, not head
    for event in _every(connection):
        if link(before, {**event}) != event["hash"]:
            return Verification(count, before, event["number"], seen)
        before, count = event["hash"], count + 1
        seen = seen or before == head
    return Verification(count, before, None, seen)


def _every(connection: Connection) -> Iterator[dict[str, Any]]:
    last = -1
    while True:
        asked = select(AUDIT_EVENTS).where(A.number > last)
        found = connection.execute(asked.order_by(A.number).limit(BATCH)).mappings()
        rows = [dict(row) for row in found]
        yield from rows
        if len(rows) < BATCH:
            return
        last = rows[-1]["number"]
