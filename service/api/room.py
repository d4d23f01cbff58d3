"""Room: before a body is read, whether there is a place in the queue, and disk."""

from typing import Annotated, Final

from anyio import to_thread
from fastapi import Depends, Request

from service.api.auth import Submitter
from service.api.context import Context, Here
from service.api.errors_http import Problem
from service.caller import Caller
from service.storage.disk import free_bytes

RETRY_SECONDS: Final = "60"


async def room_left(request: Request, here: Here, caller: Submitter) -> None:
    """Raise the 503, 429 or 507 for what would be refused after its upload.

    What comes under an idempotency key may have been accepted before: then the queue is
    looked at when it is here.
    """
    once = "idempotency-key" in request.headers
    await to_thread.run_sync(_admit, here, None if once else caller)


def _admit(here: Context, caller: Caller | None) -> None:
    """Look at the queue, for a caller, and at the fullest of the disks written to."""
    if caller is not None:
        here.backend.admit(caller)
    least = here.settings.min_free_bytes
    folders = here.settings.data_dir, here.backend.store.objects.folder
    if least and free_bytes(*folders) < least:
        said = "The service is short of disk and takes nothing more: try again later."
        retry = {"Retry-After": RETRY_SECONDS}
        raise Problem(507, "disk_full", said, headers=retry)


RoomLeft = Annotated[None, Depends(room_left)]
