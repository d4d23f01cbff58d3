"""Executors: the processes that run screenings, and which of them are no more."""

import os
import platform
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, insert, or_, select, update

from service.jobs.queues import WORKFLOW_VERSION
from service.storage.database import clock
from service.storage.tables import EXECUTORS

E: Final = EXECUTORS.c
PID_NAMESPACE: Final = Path("/proc/self/ns/pid")


class Executor:
    """One process among those that share the database: the one that it is made in.

    Each has an id of its own and says every few seconds that it lives. One that is
    silent for `lease_seconds`, has said goodbye, or ran on this host and is gone, is
    dead: what it was at work on is for others. One taken for dead too early does no
    harm: it no longer owns its workflows, so none of its results count.
    """

    def __init__(self, engine: Engine, *, lease_seconds: float) -> None:
        self.id = f"{platform.node()[:40]}-{os.getpid()}-{secrets.token_hex(6)}"
        self._engine = engine
        self._lease_seconds = lease_seconds
        self._host = host()

    def beat(self) -> None:
        """Say that this process lives."""
        with self._engine.begin() as connection:
            here = update(EXECUTORS).where(E.id == self.id)
            said = connection.execute(here.values(seen_at=clock(connection)))
            if not said.rowcount:
                self._enter(connection)

    def leave(self) -> None:
        """Say goodbye: whatever this process left may be taken over at once."""
        with self._engine.begin() as connection:
            here = update(EXECUTORS).where(E.id == self.id)
            connection.execute(here.values(stopped=True))

    def dead(self) -> list[str]:
        """Return the executors whose work is to be taken over."""
        with self._engine.begin() as connection:
            silent = E.seen_at < clock(connection) - self._lease_seconds
            others = select(EXECUTORS).where(
                E.id != self.id, E.version == WORKFLOW_VERSION
            )
            gone = or_(E.stopped, silent, E.host == self._host)
            rows = connection.execute(others.where(gone).add_columns(silent.label("s")))
            return [row.id for row in rows if row.stopped or row.s or _ended(row.pid)]

    def bury(self, executor_id: str) -> None:
        """Forget an executor whose work was taken over."""
        with self._engine.begin() as connection:
            connection.execute(delete(EXECUTORS).where(E.id == executor_id))

    def _enter(self, connection: Connection) -> None:
        row: dict[str, Any] = {"id": self.id, "host": self._host, "pid": os.getpid()}
        connection.execute(
            insert(EXECUTORS).values(
                **row,
                version=WORKFLOW_VERSION,
                seen_at=clock(connection),
                stopped=False,
            )
        )


def host() -> str:
    """Name the place where process ids mean the same: host and pid namespace."""
    namespace = ""
    with suppress(OSError):
        namespace = os.readlink(PID_NAMESPACE)
    return f"{platform.node()} {namespace}"


def _ended(pid: int) -> bool:
    """Whether no process of this host has that id, or this one has it now."""
    if pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
