"""Screenings: ask for one, follow it, read what came of it."""

import json
from io import BytesIO
from typing import IO, Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from service.context import RETRY_SECONDS, Context, Here, not_found
from service.errors_http import Problem
from service.openapi import (
    BUSY,
    FINDING,
    INVALID,
    NOT_FINISHED,
    NOT_FOUND,
    QUEUED,
    REPORT,
    ROWS_EXAMPLE,
    ROWS_SCHEMA,
    SCREENING,
    TOO_LARGE,
    UNKNOWN_TYPE,
    UNREADABLE,
    UPLOAD_EXAMPLE,
    UPLOAD_SCHEMA,
    answer,
    body,
)
from service.policy import Policy
from service.reading import (
    UploadForm,
    json_body,
    policy_of,
    safe_name,
    upload_form,
)
from service.report import Report
from service.schemas import FindingPage, ScreeningIn, ScreeningOut, ScreeningPage
from service.store import Order, QueueFull, Screening, Status
from trial.recipe import Recipe

router = APIRouter(prefix="/v1/screenings", tags=["screenings"])

Limit = Annotated[int, Query(ge=1, le=1_000, description="Entries on a page.")]
Cursor = Annotated[str, Query(max_length=100, description="`next_cursor` so far.")]


@router.post(
    "",
    status_code=202,
    response_model=ScreeningOut,
    responses={
        202: answer(QUEUED, "Queued; `Location` names the screening."),
        400: UNREADABLE,
        413: TOO_LARGE,
        415: UNKNOWN_TYPE,
        422: INVALID,
        503: BUSY,
    },
    openapi_extra=body(
        {
            "multipart/form-data": (UPLOAD_SCHEMA, UPLOAD_EXAMPLE),
            "application/json": (ROWS_SCHEMA, ROWS_EXAMPLE),
        }
    ),
)
async def create_screening(request: Request, here: Here) -> JSONResponse:
    """Queue the screening of an uploaded file, or of rows given as JSON."""
    if await to_thread.run_sync(lambda: here.backend.store.full):
        raise _busy()
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with upload_form(request) as form:
            screening = await to_thread.run_sync(_queue_upload, here, form)
    elif kind == "application/json":
        asked = await json_body(request, ScreeningIn)
        screening = await to_thread.run_sync(_queue_rows, here, asked)
    else:
        said = "Send multipart/form-data with a file, or application/json with rows."
        raise Problem(415, "unsupported_media_type", said)
    shown = ScreeningOut.of(screening, _root(request))
    return JSONResponse(
        shown.model_dump(mode="json"), 202, headers={"Location": shown.links.self}
    )


def _queue_upload(here: Context, form: UploadForm) -> Screening:
    recipe = form.recipe.recipe(here.settings)
    order = _order(here, form.name, recipe, form.policy, run_trial=form.run_trial)
    form.file.file.seek(0)
    return _queue(here, order, form.file.file)


def _queue_rows(here: Context, asked: ScreeningIn) -> Screening:
    recipe, policy = asked.recipe.recipe(here.settings), policy_of(asked)
    name = safe_name(asked.name)
    order = _order(here, name, recipe, policy, run_trial=asked.run_trial)
    rows = BytesIO(json.dumps(asked.rows).encode("ascii"))
    return _queue(here, order, rows, form="rows")


def _order(
    here: Context, name: str, recipe: Recipe, policy: Policy | None, *, run_trial: bool
) -> Order:
    wanted = run_trial and here.settings.run_trial
    return Order(name, policy or here.policy, recipe, wanted)


def _queue(
    here: Context, order: Order, content: IO[bytes], *, form: str = "file"
) -> Screening:
    upload = here.backend.store.datasets.receive(content, form=form)
    try:
        return here.backend.accept(order, upload)
    except QueueFull as error:
        raise _busy() from error


def _busy() -> Problem:
    said = "As many screenings wait as are allowed to: try again later."
    return Problem(503, "queue_full", said, headers={"Retry-After": RETRY_SECONDS})


PAGE = {"data": [SCREENING], "next_cursor": None}


@router.get(
    "", responses={200: answer(PAGE, "Screenings, newest first."), 422: INVALID}
)
def list_screenings(
    request: Request,
    here: Here,
    limit: Limit = 20,
    cursor: Cursor = "",
    status: Status | None = None,
) -> ScreeningPage:
    """List screenings, newest first."""
    try:
        found, more = here.backend.store.page(
            after=cursor, limit=limit, status=status or ""
        )
    except KeyError as error:
        raise _unknown_cursor() from error
    return ScreeningPage(
        data=[ScreeningOut.of(each, _root(request)) for each in found],
        next_cursor=found[-1].id if more else None,
    )


@router.get(
    "/{screening_id}",
    responses={200: answer(SCREENING, "The screening."), 404: NOT_FOUND},
)
def get_screening(screening_id: str, request: Request, here: Here) -> ScreeningOut:
    """Say how far a screening is, and its outcome once it is finished."""
    return ScreeningOut.of(here.screening(screening_id), _root(request))


@router.get(
    "/{screening_id}/report",
    response_model=Report,
    responses={
        200: answer(REPORT, "The report; the example shows its first keys."),
        404: NOT_FOUND,
        409: NOT_FINISHED,
    },
)
def get_report(screening_id: str, here: Here) -> Response:
    """Return the report; 409 while there is none."""
    _finished(here, screening_id)
    return Response(_report(here, screening_id), media_type="application/json")


FOUND = {"data": [FINDING], "total": 1, "next_cursor": None}


@router.get(
    "/{screening_id}/findings",
    responses={
        200: answer(FOUND, "Findings, by row."),
        404: NOT_FOUND,
        409: NOT_FINISHED,
        422: INVALID,
    },
)
def list_findings(
    screening_id: str,
    here: Here,
    detector: str = "",
    category: str = "",
    min_score: Annotated[float, Query(ge=0, le=1)] = 0.0,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> FindingPage:
    """List findings by row; filter by detector, category and lowest score."""
    _finished(here, screening_id)
    start = _place(cursor)
    findings = Report.model_validate_json(_report(here, screening_id)).findings
    found = [
        each
        for each in findings
        if detector in ("", each.detector)
        and category in ("", each.category)
        and each.score >= min_score
    ]
    end = start + limit
    return FindingPage(
        data=found[start:end],
        total=len(found),
        next_cursor=str(end) if end < len(found) else None,
    )


def _report(here: Context, screening_id: str) -> bytes:
    try:
        return here.backend.store.report(screening_id)
    except FileNotFoundError as error:  # deleted since it was looked up
        raise not_found() from error


def _place(cursor: str) -> int:
    if not cursor:
        return 0
    if not cursor.isdecimal() or not cursor.isascii() or len(cursor) > 12:
        raise _unknown_cursor()
    return int(cursor)


@router.delete(
    "/{screening_id}",
    status_code=204,
    responses={204: {"description": "Deleted."}, 404: NOT_FOUND},
)
def delete_screening(screening_id: str, here: Here) -> Response:
    """Delete a screening with its upload and report; a running one is cancelled."""
    if not here.backend.delete(screening_id):
        raise not_found()
    return Response(status_code=204)


def _finished(here: Context, screening_id: str) -> None:
    screening = here.screening(screening_id)
    if screening.status == "finished":
        return
    if screening.fault is not None:
        said = f"The screening failed, so there is no report: {screening.fault.message}"
        raise Problem(409, "screening_failed", said)
    said = f"The screening is {screening.status}: try again later."
    raise Problem(
        409, "screening_not_finished", said, headers={"Retry-After": RETRY_SECONDS}
    )


def _unknown_cursor() -> Problem:
    return Problem(422, "invalid_cursor", "cursor: not one that was handed out")


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")
