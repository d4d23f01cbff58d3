"""Batching: what a request asks to have screened as one batch, accepted and queued."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from anyio import to_thread
from fastapi import Request

from detectors.errors import InputError
from service.api.asked import dataset_name, once_of, said_of, said_of_file
from service.api.bodies import BatchIn
from service.api.context import Context
from service.api.errors_http import Problem
from service.api.media_type import MULTIPART, media_type
from service.api.reading import UploadForm, json_body, safe_name, upload_form
from service.api.rows import StoredRows
from service.api.submission import (
    admit,
    obtain,
    refusals,
    treatment_of,
)
from service.caller import Caller
from service.storage.batch import Batch
from service.storage.datasets import Given, Upload
from service.storage.once import Once
from service.storage.screening import Order

NAME: Final = "batch"
"""Of a batch that was given none."""

Asked = Sequence[tuple[Order, Given]]


async def submit_batch(request: Request, here: Context, caller: Caller) -> Batch:
    """Queue every dataset of a request, or none of them."""
    key = await admit(request)
    if media_type(request.headers) == MULTIPART:
        datasets, most = here.backend.store.datasets, most_datasets(here)
        async with upload_form(request, datasets, max_files=most) as form:
            work = partial(_queue_files, here, form, caller, key)
            return await to_thread.run_sync(work, limiter=here.accepts)
    rows = StoredRows(here.backend.store.datasets)
    async with json_body(request, here, caller, BatchIn, rows) as body:
        once = once_of(key, body, safe_name(body.name), [*map(said_of, body.datasets)])
        sent = [each.rows for each in body.datasets if each.rows is not None]
        seen = partial(_seen_before, here, caller, once, sent)
        before = await to_thread.run_sync(seen)
        if before is not None:
            return before
        ready = await to_thread.run_sync(_ready, here, body, caller)
        work = partial(_queue, here, safe_name(body.name), ready, caller, once)
        return await to_thread.run_sync(work, limiter=here.accepts)


def most_datasets(here: Context) -> int:
    """Return how many datasets a batch may have: no more than may be open at once."""
    return min(here.settings.batch_max_datasets, here.settings.max_queued + 1)


def _ready(here: Context, body: BatchIn, caller: Caller) -> Asked:
    """Return the orders of a batch and their datasets, in the store or to be fetched.

    Where one cannot be had, the error names its place.
    """
    most = most_datasets(here)
    if len(body.datasets) > most:
        raise Problem(422, "invalid_request", f"datasets: at most {most} of them")
    treatment = treatment_of(here, body, caller)
    found: list[tuple[Order, Given]] = []
    for each in body.datasets:
        try:
            given = obtain(here, each, caller)
        except (InputError, Problem) as error:
            raise _placed(error, f"datasets.{len(found)}") from error
        found.append((treatment.order(dataset_name(each)), given))
    return found


def _placed(error: BaseException, place: str) -> BaseException:
    """Say which dataset an error is about."""
    if isinstance(error, InputError):
        return type(error)(f"{place}: {error}")
    if isinstance(error, Problem):
        detail = f"{place}: {error.detail}"
        return Problem(error.status_code, error.code, detail, headers=error.headers)
    return error


def _seen_before(
    here: Context, caller: Caller, once: Once, sent: Sequence[Upload]
) -> Batch | None:
    """As `submission.seen_before`."""
    found = here.backend.batches(caller).accepted(once)
    for upload in sent if found is not None else ():
        here.backend.store.datasets.discard(upload)
    return found


def _queue_files(here: Context, form: UploadForm, caller: Caller, key: str) -> Batch:
    name, sent = safe_name(form.name or NAME), [each.upload for each in form.files]
    once = once_of(key, form, name, [*map(said_of_file, form.files)])
    before = _seen_before(here, caller, once, sent)
    if before is not None:
        return before
    treatment = treatment_of(here, form, caller)
    ready = [
        (treatment.order(safe_name(file.filename)), file.upload) for file in form.files
    ]
    return _queue(here, name, ready, caller, once)


def _queue(here: Context, name: str, ready: Asked, caller: Caller, once: Once) -> Batch:
    with refusals():
        return here.backend.accept_batch(name, ready, caller, once)
