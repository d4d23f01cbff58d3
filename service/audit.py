"""The audit record: what happened to which screening, without content.

It outlives the screening: `DELETE` takes rows, findings and reports, and leaves
digests, codes and outcomes here.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from service.tables import AUDIT_EVENTS

Facts = dict[str, str | int | None]
"""Digests, codes, outcomes and numbers; never words of a dataset or its name."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that happened. `at` is UTC, ISO 8601."""

    number: int
    at: str
    action: str
    screening: str
    facts: Facts


def note(
    connection: Connection, at: str, action: str, screening: str, facts: Facts
) -> None:
    """Append an event, in the transaction of the change that it is about."""
    row: dict[str, Any] = {"at": at, "action": action, "screening": screening}
    connection.execute(insert(AUDIT_EVENTS).values(**row, facts=facts))


def events(connection: Connection, screening: str) -> list[AuditEvent]:
    """Return what happened to a screening, oldest first."""
    asked = select(AUDIT_EVENTS).where(AUDIT_EVENTS.c.screening == screening)
    rows = connection.execute(asked.order_by(AUDIT_EVENTS.c.number))
    return [AuditEvent(**row._mapping) for row in rows]
