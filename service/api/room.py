"""Room: before a body is read, whether there is a place in the queue, and disk."""

import shutil
from pathlib import Path
from typing import Annotated, Final

from anyio import to_thread
from fastapi import Depends, Request

from service.api.auth import Submitter
from service.api.context import Context, Here
from service.api.errors_http import Problem

RETRY_SECONDS: Final = "60"


async def room_left(request: Request, here: Here, caller: Submitter) -> None:
    """Raise the 503, 429 or 507 for what would be refused after its upload.

    What comes under an idempotency key may have been accepted before: then the queue is
    looked at when it is here.
    """
    if "idempotency-key" not in request.headers:
        await to_thread.run_sync(here.backend.admit, caller)
    least = here.settings.min_free_bytes
    if least and await to_thread.run_sync(_free_bytes, here) < least:
        said = "The service is short of disk and takes nothing more: try again later."
        retry = {"Retry-After": RETRY_SECONDS}
        raise Problem(507, "disk_full", said, headers=retry)


def _free_bytes(here: Context) -> int:
    """Return what is free on the fullest of the disks that are written to."""
    local = here.backend.store.objects.folder
    folders = [here.settings.data_dir, *([] if local is None else [local])]
    return min(shutil.disk_usage(_existing(each)).free for each in folders)


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.absolute().parents) if each.is_dir())


RoomLeft = Annotated[None, Depends(room_left)]
