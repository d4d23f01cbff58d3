"""Readiness: whether the database answers, and the object store takes and gives."""

import time
from collections.abc import Callable
from typing import Final

from anyio import CapacityLimiter, Lock, create_task_group, move_on_after, to_thread
from sqlalchemy import select

from service.jobs.backend import Backend
from service.storage.database import reading

KEPT_SECONDS: Final = 5.0
"""How long an answer stands. The route is public, and a check costs requests."""

THREADS: Final = 4
"""Checks under way, those that hang too: more wait, and so find nothing ready."""


class Readiness:
    """Looks at what a process depends on, one check at a time, each for some seconds.

    `look` returns what is amiss, by the name of the part; the answer is kept a while.
    """

    def __init__(self, backend: Backend, seconds: float) -> None:
        self._checks: dict[str, Callable[[], None]] = {
            "database": lambda: _ask(backend),
            "storage": backend.store.objects.probe,
        }
        self._seconds = seconds
        self._lock = Lock()
        self._threads = CapacityLimiter(THREADS)
        self._found: dict[str, str] = {}
        self._until = 0.0

    async def look(self) -> dict[str, str]:
        """Return what is amiss; empty where all is well."""
        async with self._lock:
            if time.monotonic() >= self._until:
                self._found = await self._every()
                self._until = time.monotonic() + KEPT_SECONDS
            return self._found

    async def _every(self) -> dict[str, str]:
        found: dict[str, str] = {}

        async def check(name: str, act: Callable[[], None]) -> None:
            said = await self._attempt(act)
            if said:
                found[name] = said

        async with create_task_group() as tasks:
            for name, act in self._checks.items():
                tasks.start_soon(check, name, act)
        return {name: found[name] for name in self._checks if name in found}

    async def _attempt(self, act: Callable[[], None]) -> str:
        with move_on_after(self._seconds):
            try:
                await to_thread.run_sync(
                    act, abandon_on_cancel=True, limiter=self._threads
                )
            except Exception as error:  # whatever it is: it does not answer
                return f"failed: {type(error).__name__}"
            return ""
        return f"no answer within {self._seconds:g} seconds"


def _ask(backend: Backend) -> None:
    with reading(backend.engine).connect() as connection:
        connection.execute(select(1))
