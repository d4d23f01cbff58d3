"""Ingest: the step before all others where a dataset is named by its URL."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import anyio
from anyio import CancelScope, to_thread
from sqlalchemy.exc import DBAPIError

from service.jobs.steps import Gone, Steps, Unfit
from service.sources import SourceError, Sources
from service.storage.datasets import Link, Upload
from service.storage.screening import Fault
from service.storage.stages import FETCH

WATCH_SECONDS: Final = 0.5


class Ingest(Steps):
    """The fetch of one screening's dataset, and what surrounds any step."""

    def fetch(self, tenant: str) -> dict[str, object]:
        """Fetch the dataset, and queue the screening for the detectors.

        Unfit where the URL leads to none.
        """
        self._check()
        link = self._has.store.links.get(self._id)
        if link is None:  # that was done before a crash
            return {}
        if not self._has.store.start(self._id):
            raise Gone
        self.tell(FETCH, 0, 1)
        try:
            upload = fetch(self._has.sources, link, tenant, self._look)
        except SourceError as error:
            raise Unfit(Fault(error.code, str(error))) from error
        self._hand_over(upload)
        return {"size_bytes": upload.size_bytes}

    def _hand_over(self, upload: Upload) -> None:
        store = self._has.store
        try:
            self.tell(FETCH, 1, 1)
            wanted = store.links.settle(self._id, upload, self._has.queue)
        except BaseException:
            store.drop(upload)
            raise
        if not wanted:
            raise Gone

    def _look(self) -> None:
        """Look whether to go on; a database that is away is no reason not to."""
        with suppress(DBAPIError):
            self._check()


def fetch(
    sources: Sources, link: Link, tenant: str, check: Callable[[], None]
) -> Upload:
    """Fetch a dataset, and look meanwhile whether it is still wanted.

    What `check` raises ends the fetch, and is raised; else errors as of
    `Sources.fetch`. Nothing is left of a fetch that did not end well.
    """
    return anyio.run(partial(_watched, sources, link, tenant, check))


async def _watched(
    sources: Sources, link: Link, tenant: str, check: Callable[[], None]
) -> Upload:
    ended: list[BaseException] = []
    found: list[Upload] = []

    async def watch(scope: CancelScope) -> None:
        while not ended:
            await anyio.sleep(WATCH_SECONDS)
            try:
                await to_thread.run_sync(check)
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as error:  # a process that stops raises no Exception
                ended.append(error)
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch, tasks.cancel_scope)
        try:
            found.append(await sources.fetch(link.url, tenant))
        except Exception as error:  # a task group would wrap it in another
            ended.append(error)
        tasks.cancel_scope.cancel()
    if found:
        return found[0]
    raise ended[0]
