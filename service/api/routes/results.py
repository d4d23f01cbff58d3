"""What came of a screening: its progress, its report, its findings, its certificate."""

import hashlib
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Final

from anyio import sleep, to_thread
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.api.auth import Reader
from service.api.conditional import answer_json, headers, tag, unchanged
from service.api.context import Context, Here, not_found
from service.api.errors_http import RETRY_SECONDS, Problem
from service.api.openapi import (
    CERTIFICATE,
    ENVELOPE,
    FETCHING,
    FINDING,
    GUARDED,
    NOT_FINISHED,
    NOT_FOUND,
    REPORT,
    answer,
)
from service.api.paging import Cursor, LongLimit
from service.api.schemas import FindingPage, ScreeningOut
from service.caller import Caller
from service.envelope import MEDIA_TYPE
from service.report.report import Report
from service.storage.screening import Screening

router = APIRouter(prefix="/v1/screenings/{screening_id}", tags=["results"])


RETRY_MILLISECONDS: Final = 2_000


def _own(screening_id: str, here: Here, caller: Reader) -> Screening:
    return here.screening(screening_id, caller)


async def _stream_place(here: Here, caller: Reader) -> AsyncIterator[None]:
    """Hold a place until the last event is sent, or its reader is gone."""
    with here.streams.place(caller.tenant):
        yield


def _finished(screening: Annotated[Screening, Depends(_own)]) -> Screening:
    if screening.status == "finished":
        return screening
    if screening.fault is not None:
        said = f"The screening failed, so there is no report: {screening.fault.message}"
        raise Problem(409, "screening_failed", said)
    said = f"The screening is {screening.status}: try again later."
    raise Problem(
        409, "screening_not_finished", said, headers={"Retry-After": RETRY_SECONDS}
    )


Own = Annotated[Screening, Depends(_own)]
Finished = Annotated[Screening, Depends(_finished)]

EVENTS: Final = {
    "description": "`progress` events, then `finished`, `failed` or `deleted`; the "
    "data is the screening.",
    "content": {
        "text/event-stream": {
            "example": f"event: progress\ndata: {json.dumps(FETCHING)}\n"
            "id: 9f2c5a1b0e7d4c36\n\n"
        }
    },
}


@router.get(
    "/events",
    response_class=EventSourceResponse,
    responses={**GUARDED, 200: EVENTS, 404: NOT_FOUND},
)
async def follow_screening(
    screening: Own,
    request: Request,
    here: Here,
    caller: Reader,
    place: Annotated[None, Depends(_stream_place)],
    last_event_id: Annotated[str, Header(max_length=64)] = "",
) -> AsyncIterator[ServerSentEvent]:
    """Send the screening each time that it changes, until it is over.

    Each event is the whole state, so one who comes back with `Last-Event-ID` gets the
    state only where it has changed since.
    """
    last, found = last_event_id, screening
    while True:
        shown = await to_thread.run_sync(here.show, found, request)
        event = _event(found, shown)
        if event.id != last:
            yield event
            last = event.id or ""
        if found.over or request.app.state.stopping:
            return
        await sleep(here.settings.poll_seconds)
        again = await to_thread.run_sync(here.backend.holdings(caller).get, found.id)
        if again is None:
            gone = {"id": found.id}
            yield ServerSentEvent(event="deleted", id="deleted", data=gone)
            return
        found = again


def _event(screening: Screening, shown: ScreeningOut) -> ServerSentEvent:
    """Return the event; its id changes with the screening, not with the estimate."""
    state = ScreeningOut.of(screening).model_dump_json()
    return ServerSentEvent(
        event=screening.status if screening.over else "progress",
        id=hashlib.sha256(state.encode()).hexdigest()[:16],
        retry=RETRY_MILLISECONDS,
        raw_data=shown.model_dump_json(),
    )


@router.get(
    "/report",
    response_model=Report,
    responses={
        **GUARDED,
        200: answer(REPORT, "The report; the example shows its first keys."),
        404: NOT_FOUND,
        409: NOT_FINISHED,
    },
)
def get_report(
    screening: Finished, request: Request, here: Here, caller: Reader
) -> Response:
    """Return the report; 409 while there is none."""
    etag = f'"{screening.report}"'
    return unchanged(request, etag) or Response(
        _report(here, screening.id, caller),
        media_type="application/json",
        headers=headers(etag),
    )


FOUND: Final = {
    "data": [FINDING],
    "total": 1,
    "finding_count": 1,
    "truncated": False,
    "next_cursor": None,
}


@router.get(
    "/findings",
    response_model=FindingPage,
    responses={
        **GUARDED,
        200: answer(FOUND, "Findings, by row."),
        404: NOT_FOUND,
        409: NOT_FINISHED,
    },
)
def list_findings(
    screening: Finished,
    request: Request,
    here: Here,
    caller: Reader,
    detector: str = "",
    category: str = "",
    min_score: Annotated[float, Query(ge=0, le=1)] = 0.0,
    limit: LongLimit = 100,
    cursor: Cursor = "",
) -> Response:
    """List findings by row; filter by detector, category and lowest score."""
    start = _place(cursor)
    read = partial(_report, here, screening.id, caller)
    listed = here.findings.get(str(screening.report), read)
    found = [
        each
        for each in listed.findings
        if detector in ("", each.detector)
        and category in ("", each.category)
        and each.score >= min_score
    ]
    end = start + limit
    page = FindingPage(
        data=[each.section() for each in found[start:end]],
        total=len(found),
        finding_count=listed.count,
        truncated=listed.count > len(listed.findings),
        next_cursor=str(end) if end < len(found) else None,
    )
    return answer_json(request, page.model_dump_json().encode())


class EnvelopeResponse(Response):
    """A DSSE envelope in JSON."""

    media_type = MEDIA_TYPE


CERTIFIED: Final = {
    "description": "A DSSE envelope around an in-toto statement; `signatures` is empty "
    "where the service has no key to sign with.",
    "content": {MEDIA_TYPE: {"schema": ENVELOPE, "example": CERTIFICATE}},
}


@router.get(
    "/certificate",
    response_class=EnvelopeResponse,
    responses={**GUARDED, 200: CERTIFIED, 404: NOT_FOUND, 409: NOT_FINISHED},
)
def get_certificate(
    screening_id: str, request: Request, here: Here, caller: Reader
) -> Response:
    """Return the certificate, without content: it stays when the screening is deleted.

    `tunegate certificate verify` checks it offline.
    """
    kept = here.backend.certificates(caller).find(screening_id)
    if kept is None:
        _finished(here.screening(screening_id, caller))
        said = "The screening ended before there were certificates: screen again."
        raise Problem(404, "certificate_not_found", said)
    etag = tag(kept)
    return unchanged(request, etag) or EnvelopeResponse(kept, headers=headers(etag))


def _report(here: Context, screening_id: str, caller: Caller) -> bytes:
    try:
        return here.backend.holdings(caller).report(screening_id)
    except FileNotFoundError as error:  # deleted since it was looked up
        raise not_found() from error


def _place(cursor: str) -> int:
    if not cursor:
        return 0
    if not cursor.isdecimal() or not cursor.isascii() or len(cursor) > 12:
        raise Problem(422, "invalid_cursor", "cursor: not one that was handed out")
    return int(cursor)
