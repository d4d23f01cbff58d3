"""POST /v1/scan: a few rows, at once, detectors only."""

from functools import partial

from anyio import to_thread
from fastapi import APIRouter, Request

from service.api.auth import Submitter
from service.api.bodies import RowsIn
from service.api.context import Here
from service.api.errors_http import Problem
from service.api.openapi import (
    GUARDED,
    LOADING,
    NOT_JSON,
    ROWS,
    SCAN,
    TOO_LARGE,
    TOO_SLOW,
    UNREADABLE,
    answer,
    body,
    problem,
    schema_of,
)
from service.api.reading import json_body
from service.api.rows import KeptRows
from service.api.schemas import ScanOut

router = APIRouter(prefix="/v1", tags=["scan"])


@router.post(
    "/scan",
    responses={
        **GUARDED,
        200: answer(SCAN, "What the detectors say."),
        400: UNREADABLE,
        404: problem("scans_off", "No scans are taken here."),
        408: TOO_SLOW,
        413: TOO_LARGE,
        415: NOT_JSON,
        503: LOADING,
    },
    openapi_extra=body({"application/json": (schema_of(RowsIn), {"rows": ROWS})}),
)
async def scan(request: Request, here: Here, caller: Submitter) -> ScanOut:
    """Score a few rows with the detectors alone.

    No trial is run, so the decision is REVIEW at best unless the policy does without.
    """
    models = here.models()
    if models is None:
        said = "No scans are taken here: use POST /v1/screenings."
        raise Problem(404, "scans_off", said)
    from service.api.scanning import scan_rows  # it imports torch

    rows = KeptRows(here.settings.scan_max_rows)
    async with json_body(request, here, caller, RowsIn, rows) as asked:
        work = partial(scan_rows, asked, here, models)
        return await to_thread.run_sync(work, limiter=here.scans)
