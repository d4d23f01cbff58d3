"""POST /v1/scan: a few rows, at once, detectors only."""

from anyio import to_thread
from fastapi import APIRouter, Request

from detectors.reader import read_rows
from service.api.auth import Submitter
from service.api.context import Context, Here
from service.api.errors_http import Problem
from service.api.openapi import (
    GUARDED,
    INVALID,
    LOADING,
    ROWS,
    ROWS_SCHEMA,
    SCAN,
    TOO_LARGE,
    UNREADABLE,
    answer,
    body,
)
from service.api.reading import json_body
from service.api.schemas import RowScores, RowsIn, ScanOut
from service.finding import settle
from service.gate import Facts, decide, make_findings
from service.models import Models
from service.report.composition import (
    dataset_section,
    decision_section,
    detector_section,
    finding_sections,
)
from service.screening import Stopwatch, score_rows

router = APIRouter(prefix="/v1", tags=["scan"])

SCHEMA = {
    **ROWS_SCHEMA,
    "properties": {key: ROWS_SCHEMA["properties"][key] for key in ("rows", "name")},
}


@router.post(
    "/scan",
    responses={
        **GUARDED,
        200: answer(SCAN, "What the detectors say."),
        400: UNREADABLE,
        413: TOO_LARGE,
        422: INVALID,
        503: LOADING,
    },
    openapi_extra=body({"application/json": (SCHEMA, {"rows": ROWS})}),
)
async def scan(request: Request, here: Here, caller: Submitter) -> ScanOut:
    """Score a few rows with the detectors alone.

    No trial is run, so the decision is REVIEW at best unless the policy does without.
    """
    models = here.models()
    asked = await json_body(request, RowsIn)
    limit = here.settings.scan_max_rows
    if len(asked.rows) > limit:
        raise Problem(
            413,
            "too_many_rows",
            f"A scan takes at most {limit} rows, not {len(asked.rows)}: use "
            "POST /v1/screenings.",
        )
    return await to_thread.run_sync(_scan, asked, here, models, limiter=here.scans)


def _scan(asked: RowsIn, here: Context, models: Models) -> ScanOut:
    dataset = read_rows(asked.rows, name=asked.name, limits=here.settings.limits())
    scores = score_rows(dataset, models.detectors, lambda *_: None, Stopwatch())
    policy = here.policy
    rows = [
        RowScores(
            line=example.origin.line,
            scores={each.detector: settle(each.values[index]) for each in scores},
        )
        for index, example in enumerate(dataset)
    ]
    return ScanOut(
        decision=decision_section(decide(policy, Facts.of(dataset), scores, None)),
        dataset=dataset_section(dataset),
        scores={s.detector: detector_section(policy, dataset, s) for s in scores},
        rows=rows,
        findings=list(finding_sections(make_findings(policy, dataset, scores))),
        policy=policy.digest,
    )
