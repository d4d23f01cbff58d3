"""Policies kept by name: each change is a new version, and none is ever changed."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, RowMapping, func, insert, select
from sqlalchemy.exc import IntegrityError

from detectors.errors import InputError, PolicyError
from service.caller import Caller
from service.policy import Policy
from service.storage import audit
from service.storage.database import reading
from service.storage.screening import now
from service.storage.tables import POLICIES

P: Final = POLICIES.c
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
REFERENCE: Final = re.compile(
    rf"(?P<name>{NAME.pattern})(@(?P<version>[1-9]\d{{0,8}}))?"
)
TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """One version of a tenant's policy; `name@version` refers to it.

    `policy` is None where this version of Tunegate cannot read the `content`.
    """

    name: str
    version: int
    created_at: str
    content: dict[str, Any]
    digest: str
    policy: Policy | None

    @property
    def reference(self) -> str:
        """What names this very version."""
        return f"{self.name}@{self.version}"

    def readable(self) -> Policy:
        """Return the policy; PolicyError where it is of another version of Tunegate."""
        if self.policy is None:
            said = f"policy {self.reference} is of another version of Tunegate"
            raise PolicyError(f"{said}: submit it again")
        return self.policy


class Policies:
    """The policies of one tenant."""

    def __init__(self, engine: Engine, caller: Caller) -> None:
        self._engine = engine
        self._reading = reading(engine)
        self._caller = caller
        self._mine = P.tenant == caller.tenant

    def add(self, name: str, policy: Policy) -> KeptPolicy:
        """Keep a policy as the next version of its name.

        The same content again is the version that there is. InputError where the name
        is not fit.
        """
        if not NAME.fullmatch(name):
            said = "a policy's name is 1 to 63 of a-z, 0-9, - and _"
            raise InputError(f"{said}, and begins with no mark")
        for _ in range(TRIES):
            try:
                with self._engine.begin() as connection:
                    return self._add(connection, name, policy)
            except IntegrityError:  # another took that number just now
                continue
        raise InputError(f"policy {name!r} is being changed by others: try again")

    def find(self, reference: str) -> KeptPolicy | None:
        """Return a version, the newest where none is said; None where it is not."""
        match = REFERENCE.fullmatch(reference)
        if match is None:
            return None
        asked = select(POLICIES).where(self._mine, P.name == match["name"])
        if match["version"]:
            asked = asked.where(P.version == int(match["version"]))
        with self._reading.connect() as connection:
            found = connection.execute(asked.order_by(P.version.desc()).limit(1))
            row = found.mappings().first()
        return None if row is None else _kept(row)

    def page(
        self, *, after: str = "", limit: int
    ) -> tuple[list[KeptPolicy], str | None]:
        """Return the newest version of each name, and where the next page begins."""
        newest = select(P.name, func.max(P.version).label("version"))
        newest = newest.where(self._mine, P.name > after).group_by(P.name)
        last = newest.order_by(P.name).limit(limit + 1).subquery()
        asked = select(POLICIES).join(
            last, (P.name == last.c.name) & (P.version == last.c.version)
        )
        with self._reading.connect() as connection:
            found = connection.execute(asked.where(self._mine).order_by(P.name))
            rows = found.mappings().all()
        more = rows[limit - 1]["name"] if len(rows) > limit else None
        return [_kept(row) for row in rows[:limit]], more

    def _add(self, connection: Connection, name: str, policy: Policy) -> KeptPolicy:
        asked = select(POLICIES).where(self._mine, P.name == name)
        found = connection.execute(asked.order_by(P.version.desc()).limit(1))
        last = found.mappings().first()
        if last is not None and last["digest"] == policy.digest:
            return _kept(last)
        version, at = 1 if last is None else last["version"] + 1, now()
        row: dict[str, Any] = {
            "tenant": self._caller.tenant,
            "name": name,
            "version": version,
            "digest": policy.digest,
            "content": policy.model_dump(mode="json"),
            "created_at": at,
        }
        connection.execute(insert(POLICIES).values(**row))
        facts: audit.Facts = {"policy": policy.digest, "version": version}
        subject = name[:40]
        audit.note(connection, at, "policy_added", subject, facts, by=self._caller)
        return _kept(row)


def _kept(row: RowMapping | dict[str, Any]) -> KeptPolicy:
    content, policy = row["content"], None
    with suppress(ValueError):
        policy = Policy.model_validate(content)
    return KeptPolicy(
        name=row["name"],
        version=row["version"],
        created_at=row["created_at"],
        content=content if policy is None else policy.model_dump(mode="json"),
        digest=row["digest"] if policy is None else policy.digest,
        policy=policy,
    )
