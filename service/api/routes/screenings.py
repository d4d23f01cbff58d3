"""Screenings: ask for one, follow it, delete it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from service.api.auth import Admin, Reader, Submitter
from service.api.bodies import ScreeningIn
from service.api.conditional import answer_json
from service.api.context import Here, not_found
from service.api.errors_http import Problem
from service.api.openapi import (
    CANCELLED,
    GUARDED,
    NOT_FOUND,
    QUEUED,
    ROWS_EXAMPLE,
    SCREENING,
    SUBMITTED,
    UPLOAD_EXAMPLE,
    UPLOAD_SCHEMA,
    answer,
    body,
    schema_of,
)
from service.api.paging import Cursor, LongLimit
from service.api.room import RoomLeft
from service.api.schemas import ScreeningOut, ScreeningPage
from service.api.submission import IdempotencyKey, submit
from service.storage.screening import Status

router = APIRouter(prefix="/v1/screenings", tags=["screenings"])


@router.post(
    "",
    status_code=202,
    response_model=ScreeningOut,
    responses={
        **SUBMITTED,
        202: answer(QUEUED, "Queued; `Location` names the screening."),
    },
    openapi_extra=body(
        {
            "multipart/form-data": (UPLOAD_SCHEMA, UPLOAD_EXAMPLE),
            "application/json": (schema_of(ScreeningIn), ROWS_EXAMPLE),
        }
    ),
)
async def create_screening(
    request: Request,
    here: Here,
    caller: Submitter,
    room: RoomLeft,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """Queue the screening of an uploaded file, of rows given as JSON, or of a URL.

    What is at a URL is fetched after the answer: a dead link ends as failed. A file
    that an earlier screening holds need not be sent again: name its `sha256`.
    """
    screening = await submit(request, here, caller)
    shown = here.show(screening, request)
    return JSONResponse(
        shown.model_dump(mode="json"), 202, headers={"Location": shown.links.self}
    )


PAGE = {"data": [SCREENING], "next_cursor": None}


@router.get(
    "",
    responses={**GUARDED, 200: answer(PAGE, "Screenings, newest first.")},
)
def list_screenings(
    request: Request,
    here: Here,
    caller: Reader,
    limit: LongLimit = 20,
    cursor: Cursor = "",
    status: Status | None = None,
    batch: Annotated[str, Query(max_length=100, description="Of that batch.")] = "",
) -> ScreeningPage:
    """List screenings, newest first."""
    try:
        found, more = here.backend.holdings(caller).page(
            after=cursor, limit=limit, status=status or "", batch=batch
        )
    except KeyError as error:
        raise _unknown_cursor() from error
    return ScreeningPage(
        data=[here.show(each, request) for each in found],
        next_cursor=found[-1].id if more else None,
    )


@router.get(
    "/{screening_id}",
    response_model=ScreeningOut,
    responses={**GUARDED, 200: answer(SCREENING, "The screening."), 404: NOT_FOUND},
)
def get_screening(
    screening_id: str, request: Request, here: Here, caller: Reader
) -> Response:
    """Say how far a screening is, and its outcome once it is finished."""
    shown = here.show(here.screening(screening_id, caller), request)
    return answer_json(request, shown.model_dump_json().encode())


@router.post(
    "/{screening_id}/cancel",
    responses={
        **GUARDED,
        200: answer(CANCELLED, "It ended, now or before."),
        404: NOT_FOUND,
    },
)
def cancel_screening(
    screening_id: str, request: Request, here: Here, caller: Submitter
) -> ScreeningOut:
    """End a screening: it fails as `cancelled`; one that is over stays as it is."""
    here.backend.cancel(screening_id, caller)
    return here.show(here.screening(screening_id, caller), request)


@router.delete(
    "/{screening_id}",
    status_code=204,
    responses={**GUARDED, 204: {"description": "Deleted."}, 404: NOT_FOUND},
)
def delete_screening(screening_id: str, here: Here, caller: Admin) -> Response:
    """Delete a screening with its upload and report; a running one is cancelled."""
    if not here.backend.delete(screening_id, caller):
        raise not_found()
    return Response(status_code=204)


def _unknown_cursor() -> Problem:
    return Problem(422, "invalid_cursor", "cursor: not one that was handed out")
