"""Webhooks: who is told when a screening or a batch ends, and what was sent to whom.

What is to be sent is written in the transaction that ends it, so that it is sent at
least once, always under one id. A delivery is claimed by moving its next
attempt on, beyond the longest that one may take: whoever claims and dies has lost
nothing but that while.
"""

import base64
import random
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal

from sqlalchemy import (
    Connection,
    Engine,
    RowMapping,
    Select,
    and_,
    func,
    insert,
    select,
    update,
)

from detectors.errors import InputError
from service.caller import Caller
from service.storage import audit
from service.storage.database import reading
from service.storage.keys import stamp
from service.storage.tables import DELIVERIES, WEBHOOKS

W: Final = WEBHOOKS.c
D: Final = DELIVERIES.c
State = Literal["pending", "delivered", "dead"]

MINUTE, HOUR = 60.0, 3_600.0
WAITS: Final = (
    5.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR,
    10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR,
)  # fmt: skip
"""Seconds from the end of each attempt but the last to the next, as the Standard
Webhooks spec suggests them ("Deliverability and reliability")."""

JITTER: Final = 0.1
TENANT_ATTEMPTS: Final = 2
"""Webhooks of a tenant that one process tells at once."""

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
MAX_WEBHOOKS: Final = 20


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a tenant is told. `secret` signs what is sent, so it is kept as it is."""

    id: str
    tenant: str
    url: str
    secret: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one webhook; `said` is how the last attempt ended."""

    id: str
    webhook: str
    payload: dict[str, Any]
    created_at: str
    state: State
    attempts: int
    next_at: str | None
    said: str


class Webhooks:
    """The webhooks of one tenant."""

    def __init__(self, engine: Engine, caller: Caller) -> None:
        self._engine = engine
        self._reading = reading(engine)
        self._caller = caller
        self._mine = W.tenant == caller.tenant

    def add(self, url: str) -> Webhook:
        """Tell a URL from now on, which was checked before.

        InputError where a tenant has too many.
        """
        if len(self.every()) >= MAX_WEBHOOKS:
            raise InputError(f"there are {MAX_WEBHOOKS} webhooks: remove one first")
        secret = base64.b64encode(secrets.token_bytes(32)).decode("ascii")
        made = Webhook(
            f"whk_{secrets.token_hex(12)}",
            self._caller.tenant,
            url,
            f"whsec_{secret}",
            stamp(datetime.now(UTC)),
        )
        row: dict[str, Any] = {name: getattr(made, name) for name in made.__slots__}
        with self._engine.begin() as connection:
            connection.execute(insert(WEBHOOKS).values(**row))
            self._note(connection, "webhook_added", made.id)
        return made

    def every(self) -> list[Webhook]:
        """Return them all, oldest first."""
        asked = select(WEBHOOKS).where(self._mine, W.removed_at.is_(None))
        with self._reading.connect() as connection:
            found = connection.execute(asked.order_by(W.created_at, W.id)).mappings()
            return [webhook_of(row) for row in found]

    def find(self, webhook_id: str) -> Webhook | None:
        """Return a webhook; None where there is none of that id."""
        return next((each for each in self.every() if each.id == webhook_id), None)

    def remove(self, webhook_id: str) -> bool:
        """Tell a URL no more, nor what was still to be sent; False: there is none."""
        at = stamp(datetime.now(UTC))
        here = (self._mine, W.id == webhook_id, W.removed_at.is_(None))
        with self._engine.begin() as connection:
            blank = {W.removed_at: at, W.secret: ""}
            gone = update(WEBHOOKS).where(*here).values(blank)
            if not connection.execute(gone).rowcount:
                return False
            left = update(DELIVERIES).where(D.webhook == webhook_id)
            left = left.where(D.state == "pending")
            connection.execute(left.values(state="dead", next_at=None, said="removed"))
            self._note(connection, "webhook_removed", webhook_id)
        return True

    def deliveries(
        self, webhook_id: str, *, after: str = "", limit: int, state: str = ""
    ) -> tuple[list[Delivery], bool]:
        """Return what was sent to a webhook, newest first, and whether more follows.

        `after` is the id of the last one seen; KeyError where it is unknown.
        """
        asked = select(DELIVERIES).where(D.webhook == webhook_id)
        asked = asked.where(D.webhook.in_(select(W.id).where(self._mine)))
        with self._reading.connect() as connection:
            if after:
                number = select(D.number).where(D.id == after, D.webhook == webhook_id)
                last = connection.execute(number).scalar()
                if last is None:
                    raise KeyError(after)
                asked = asked.where(D.number < last)
            if state:
                asked = asked.where(D.state == state)
            asked = asked.order_by(D.number.desc()).limit(limit + 1)
            rows = connection.execute(asked).mappings().all()
        return [delivery_of(row) for row in rows[:limit]], len(rows) > limit

    def replay(self, webhook_id: str, delivery_id: str) -> bool:
        """Send a message again, under the same id; False where there is none."""
        if self.find(webhook_id) is None:
            return False
        here = (D.id == delivery_id, D.webhook == webhook_id)
        at = stamp(datetime.now(UTC))
        with self._engine.begin() as connection:
            again = update(DELIVERIES).where(*here)
            again = again.values(state="pending", attempts=0, next_at=at)
            return connection.execute(again).rowcount > 0

    def _note(self, connection: Connection, action: str, subject: str) -> None:
        at = stamp(datetime.now(UTC))
        audit.note(connection, at, action, subject, {}, by=self._caller)


def announce(
    connection: Connection, at: str, tenant: str, kind: str, data: dict[str, Any]
) -> None:
    """Write down what is to be sent, in the transaction of what happened."""
    asked = select(W.id).where(W.tenant == tenant, W.removed_at.is_(None))
    payload = {"type": kind, "timestamp": at, "data": data}
    for webhook in connection.execute(asked).scalars().all():
        row: dict[str, Any] = {
            "id": f"msg_{secrets.token_hex(12)}",
            "webhook": webhook,
            "payload": payload,
            "created_at": at,
            "state": "pending",
            "attempts": 0,
            "next_at": at,
            "said": "",
        }
        connection.execute(insert(DELIVERIES).values(**row))


class Outbox:
    """What is to be sent, whosever it is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = reading(engine)

    def claim(
        self,
        limit: int = 20,
        *,
        at_work: Mapping[str, str] = NOTHING,
        lease_seconds: float = 60.0,
    ) -> list[tuple[Delivery, Webhook]]:
        """Return deliveries whose next attempt is for the caller alone to make.

        Of each webhook that is the one longest due, and of each tenant that of few
        webhooks: those `at_work` (tenants by webhook) count. Where nothing is heard of
        an attempt for `lease_seconds`, it is due again.
        """
        if limit <= 0:
            return []
        now = datetime.now(UTC)
        tenants = Counter(at_work.values())
        with self._reading.connect() as connection:
            asked = _first_due(now, at_work, tenants).limit(4 * limit)
            rows = connection.execute(asked).mappings().all()
        claimed: dict[str, tuple[Delivery, Webhook]] = {}
        for row in rows:
            webhook, tenant = row["webhook"], row["tenant"]
            free = webhook not in claimed and tenants[tenant] < TENANT_ATTEMPTS
            if free and len(claimed) < limit and self._take(row, now, lease_seconds):
                claimed[webhook] = self._pair(row)
                tenants[tenant] += 1
        return list(claimed.values())

    def settle(self, delivery: Delivery, *, done: bool, said: str, gone: bool) -> None:
        """Note how an attempt ended; `gone`: the receiver wants no more (410)."""
        values: dict[str, Any] = {"said": said}
        if done:
            values |= {"state": "delivered", "next_at": None}
        elif gone or delivery.attempts > len(WAITS):
            values |= {"state": "dead", "next_at": None}
        else:
            wait = WAITS[delivery.attempts - 1] * random.uniform(1.0, 1.0 + JITTER)
            values["next_at"] = stamp(datetime.now(UTC) + timedelta(seconds=wait))
        mine = (D.id == delivery.id, D.attempts == delivery.attempts)
        with self._engine.begin() as connection:
            connection.execute(update(DELIVERIES).where(*mine).values(**values))

    def _take(self, row: RowMapping, now: datetime, lease_seconds: float) -> bool:
        seen = (D.id == row["id"], D.attempts == row["attempts"], D.state == "pending")
        values = {
            "attempts": row["attempts"] + 1,
            "next_at": stamp(now + timedelta(seconds=lease_seconds)),
        }
        with self._engine.begin() as connection:
            taken = update(DELIVERIES).where(*seen).values(**values)
            return connection.execute(taken).rowcount > 0

    @staticmethod
    def _pair(row: RowMapping) -> tuple[Delivery, Webhook]:
        delivery = delivery_of({**row, "attempts": row["attempts"] + 1})
        parts = (row["webhook"], row["tenant"], row["url"], row["secret"], "")
        return delivery, Webhook(*parts)


def _first_due(
    now: datetime, at_work: Mapping[str, str], tenants: Mapping[str, int]
) -> Select[Any]:
    """Ask for what is longest due of each webhook that is free, longest due first."""
    full = [each for each, count in tenants.items() if count >= TENANT_ATTEMPTS]
    due = (
        D.state == "pending",
        D.next_at <= stamp(now),
        D.webhook.not_in(tuple(at_work)),
    )
    first = select(D.webhook, func.min(D.next_at).label("at")).where(*due)
    oldest = first.group_by(D.webhook).subquery()
    here = (oldest.c.webhook == D.webhook, oldest.c.at == D.next_at)
    asked = select(DELIVERIES, W.url, W.secret, W.tenant)
    joined = asked.join(oldest, and_(*here)).join(WEBHOOKS, W.id == D.webhook)
    wanted = joined.where(D.state == "pending", W.tenant.not_in(full))
    return wanted.order_by(D.next_at, D.number)


def webhook_of(row: RowMapping) -> Webhook:
    """Return the webhook of a row."""
    return Webhook(**{name: row[name] for name in Webhook.__slots__})


def delivery_of(row: Any) -> Delivery:
    """Return the delivery of a row."""
    return Delivery(**{name: row[name] for name in Delivery.__slots__})
