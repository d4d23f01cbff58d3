"""Batches: many screenings asked for at once, with one status and one summary."""

from typing import Final

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from service.api.auth import Admin, Reader, Submitter
from service.api.batching import submit_batch
from service.api.bodies import BatchIn
from service.api.conditional import answer_json
from service.api.context import Context, Here
from service.api.errors_http import Problem
from service.api.openapi import (
    BATCH,
    BATCH_ASKED,
    FILES_SCHEMA,
    GUARDED,
    SUBMITTED,
    answer,
    body,
    problem,
    schema_of,
)
from service.api.paging import Cursor, Limit
from service.api.room import RoomLeft
from service.api.schemas import BatchOut, BatchPage
from service.api.submission import IdempotencyKey
from service.caller import Caller
from service.storage.batch import Batch

router = APIRouter(prefix="/v1/batches", tags=["batches"])

NO_BATCH: Final = problem("batch_not_found", "There is no batch of that id.")
FILES: Final = {"file": ["(the bytes of a.jsonl)", "(the bytes of b.jsonl)"]}


@router.post(
    "",
    status_code=202,
    response_model=BatchOut,
    responses={
        **SUBMITTED,
        202: answer(BATCH, "Queued; `Location` names the batch."),
    },
    openapi_extra=body(
        {
            "multipart/form-data": (FILES_SCHEMA, FILES),
            "application/json": (schema_of(BatchIn), BATCH_ASKED),
        }
    ),
)
async def create_batch(
    request: Request,
    here: Here,
    caller: Submitter,
    room: RoomLeft,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """Queue a screening of each of many datasets: of all, or of none.

    They are files of a form, or each of a JSON list what a screening takes.
    """
    batch = await submit_batch(request, here, caller)
    shown = await to_thread.run_sync(_shown, request, here, caller, batch)
    where = {"Location": shown.links.self}
    return JSONResponse(shown.model_dump(mode="json"), 202, headers=where)


PAGE: Final = {"data": [BATCH], "next_cursor": None}


@router.get("", responses={**GUARDED, 200: answer(PAGE, "Newest first.")})
def list_batches(
    request: Request, here: Here, caller: Reader, limit: Limit = 20, cursor: Cursor = ""
) -> BatchPage:
    """List batches, newest first."""
    try:
        found, following = here.backend.batches(caller).page(after=cursor, limit=limit)
    except KeyError as error:
        said = "cursor: not one that was handed out"
        raise Problem(422, "invalid_cursor", said) from error
    return BatchPage(
        data=[_shown(request, here, caller, each) for each in found],
        next_cursor=following or None,
    )


@router.get(
    "/{batch_id}",
    response_model=BatchOut,
    responses={**GUARDED, 200: answer(BATCH, "The batch."), 404: NO_BATCH},
)
def get_batch(batch_id: str, request: Request, here: Here, caller: Reader) -> Response:
    """Say how far a batch is, and what came of it so far."""
    batch = here.backend.batches(caller).find(batch_id)
    shown = _shown(request, here, caller, batch)
    return answer_json(request, shown.model_dump_json().encode())


@router.post(
    "/{batch_id}/cancel",
    responses={**GUARDED, 200: answer(BATCH, "What is left of it."), 404: NO_BATCH},
)
def cancel_batch(
    batch_id: str, request: Request, here: Here, caller: Submitter
) -> BatchOut:
    """End what of a batch is not over: those screenings fail as `cancelled`."""
    batch = here.backend.cancel_batch(batch_id, caller)
    return _shown(request, here, caller, batch)


@router.delete(
    "/{batch_id}",
    status_code=204,
    responses={**GUARDED, 204: {"description": "Deleted."}, 404: NO_BATCH},
)
def delete_batch(batch_id: str, here: Here, caller: Admin) -> Response:
    """Delete a batch with all of its screenings; running ones are cancelled."""
    if not here.backend.delete_batch(batch_id, caller):
        raise _not_found()
    return Response(status_code=204)


def _shown(
    request: Request, here: Context, caller: Caller, batch: Batch | None
) -> BatchOut:
    if batch is None:
        raise _not_found()
    ids = here.backend.batches(caller).screenings(batch.id)
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return BatchOut.of(batch, ids, root)


def _not_found() -> Problem:
    return Problem(404, "batch_not_found", "There is no batch of that id.")
