"""Screenings: ask for one, follow it, read what came of it."""

import json
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from service.context import RETRY_SECONDS, Context, Here
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
    keep,
    policy_of,
    safe_name,
    upload_form,
)
from service.report import FindingSection, Report
from service.schemas import FindingPage, ScreeningIn, ScreeningOut, ScreeningPage
from service.store import ROWS, UPLOAD, Screening, Status
from service.worker import Job, QueueFull
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
    if here.worker.full:
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
    screening = here.store.create(form.name)
    try:
        keep(form.file, here.store.folder(screening.id) / UPLOAD)
    except OSError:
        here.store.discard(screening)
        raise
    return _queue(here, screening, recipe, form.policy, run_trial=form.run_trial)


def _queue_rows(here: Context, asked: ScreeningIn) -> Screening:
    recipe, policy = asked.recipe.recipe(here.settings), policy_of(asked)
    screening = here.store.create(safe_name(asked.name))
    path = here.store.folder(screening.id) / ROWS
    path.write_text(json.dumps(asked.rows), "utf-8")
    return _queue(here, screening, recipe, policy, run_trial=asked.run_trial)


def _queue(
    here: Context,
    screening: Screening,
    recipe: Recipe,
    policy: Policy | None,
    *,
    run_trial: bool,
) -> Screening:
    job = Job(
        screening_id=screening.id,
        name=screening.name,
        policy=policy or here.policy,
        recipe=recipe,
        run_trial=run_trial and here.settings.run_trial,
    )
    here.store.add(screening)
    try:
        here.worker.submit(job)
    except QueueFull as error:
        here.store.delete(screening.id)
        raise _busy() from error
    return screening


def _busy() -> Problem:
    said = "As many screenings wait as are allowed to: try again later."
    return Problem(503, "queue_full", said, headers={"Retry-After": RETRY_SECONDS})


PAGE = {"data": [SCREENING], "next_cursor": None}


@router.get(
    "", responses={200: answer(PAGE, "Screenings, newest first."), 422: INVALID}
)
async def list_screenings(
    request: Request,
    here: Here,
    limit: Limit = 20,
    cursor: Cursor = "",
    status: Status | None = None,
) -> ScreeningPage:
    """List screenings, newest first."""
    try:
        found, more = here.store.page(after=cursor, limit=limit, status=status or "")
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
async def get_screening(
    screening_id: str, request: Request, here: Here
) -> ScreeningOut:
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
async def get_report(screening_id: str, here: Here) -> FileResponse:
    """Return the report; 409 while there is none."""
    _finished(here, screening_id)
    path = here.store.report_path(screening_id)
    return FileResponse(path, media_type="application/json")


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
async def list_findings(
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
    findings = await to_thread.run_sync(_findings, here, screening_id)
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


def _findings(here: Context, screening_id: str) -> tuple[FindingSection, ...]:
    text = here.store.report_path(screening_id).read_text("utf-8")
    return Report.model_validate_json(text).findings


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
async def delete_screening(screening_id: str, here: Here) -> Response:
    """Delete a screening with its upload and report; a running one is cancelled."""
    here.screening(screening_id)
    here.worker.drop(screening_id)
    await to_thread.run_sync(here.store.delete, screening_id)
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
