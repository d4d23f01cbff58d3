"""Fetching: a fetch that is watched, so that whatever ends its screening ends it."""

from collections.abc import Callable
from functools import partial
from typing import Final

import anyio
from anyio import CancelScope, to_thread

from service.sources import Sources
from service.storage.datasets import Link, Upload

WATCH_SECONDS: Final = 0.5


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
