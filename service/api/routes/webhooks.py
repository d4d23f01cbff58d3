"""Webhooks: who is told when a screening or a batch ends, and what was sent."""

from typing import Any, Final

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from service.api.auth import Admin
from service.api.bodies import WebhookIn
from service.api.context import Here
from service.api.errors_http import Problem
from service.api.openapi import (
    GUARDED,
    ID,
    NOT_JSON,
    TOO_LARGE,
    TOO_SLOW,
    UNREADABLE,
    answer,
    body,
    problem,
)
from service.api.paging import Cursor, LongLimit
from service.api.reading import json_body
from service.api.schemas import (
    DeliveryOut,
    DeliveryPage,
    WebhookMade,
    WebhookOut,
    WebhookPage,
)
from service.outbound import check_url
from service.storage.webhooks import State

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

ASKED: Final = {"url": "https://hooks.example.com/tunegate"}
WEBHOOK: Final = {
    **ASKED,
    "id": "whk_0f1e2d3c4b5a69788796a5b4",
    "created_at": "2026-01-02T03:04:05.678+00:00",
}
DELIVERY: Final[dict[str, Any]] = {
    "id": "msg_0f1e2d3c4b5a69788796a5b4",
    "payload": {
        "type": "screening.finished",
        "timestamp": "2026-01-02T03:05:06.789+00:00",
        "data": {"id": ID, "status": "finished", "outcome": "ACCEPT"},
    },
    "created_at": "2026-01-02T03:05:06.789+00:00",
    "state": "delivered",
    "attempts": 1,
    "next_at": None,
    "said": "HTTP 204",
}
NO_WEBHOOK: Final = problem("webhook_not_found", "There is no webhook of that id.")


def _not_found() -> Problem:
    return Problem(404, "webhook_not_found", "There is no webhook of that id.")


@router.post(
    "",
    status_code=201,
    response_model=WebhookMade,
    responses={
        **GUARDED,
        201: answer({**WEBHOOK, "secret": "whsec_..."}, "The secret is shown once."),  # nosec B105
        400: UNREADABLE,
        408: TOO_SLOW,
        413: TOO_LARGE,
        415: NOT_JSON,
    },
    openapi_extra=body({"application/json": (WebhookIn.model_json_schema(), ASKED)}),
)
async def add_webhook(request: Request, here: Here, caller: Admin) -> JSONResponse:
    """Have a URL told of every end, after the Standard Webhooks spec.

    `screening.finished` and `screening.failed` hold the screening's id, status, outcome
    and fault; `batch.finished`, once all screenings of a batch have ended, the batch's
    id, outcome and counts. Each is signed, sent at least once, and repeated under the
    same id for three days until it is answered 2xx.
    """
    private = here.settings.webhook_private
    async with json_body(request, here, caller, WebhookIn) as asked:
        await to_thread.run_sync(lambda: check_url(asked.url, private=private))
        made = await to_thread.run_sync(here.backend.webhooks(caller).add, asked.url)
    shown = WebhookMade.of(made)
    where = {"Location": f"{request.url.path}/{made.id}"}
    return JSONResponse(shown.model_dump(mode="json"), 201, headers=where)


@router.get(
    "", responses={**GUARDED, 200: answer({"data": [WEBHOOK]}, "All, oldest first.")}
)
def list_webhooks(here: Here, caller: Admin) -> WebhookPage:
    """List the webhooks, without their secrets."""
    found = here.backend.webhooks(caller).every()
    return WebhookPage(data=[WebhookOut.of(each) for each in found])


@router.delete(
    "/{webhook_id}",
    status_code=204,
    responses={**GUARDED, 204: {"description": "Removed."}, 404: NO_WEBHOOK},
)
def remove_webhook(webhook_id: str, here: Here, caller: Admin) -> Response:
    """Tell a URL no more; what was still to be sent is not."""
    if not here.backend.webhooks(caller).remove(webhook_id):
        raise _not_found()
    return Response(status_code=204)


PAGE: Final = {"data": [DELIVERY], "next_cursor": None}


@router.get(
    "/{webhook_id}/deliveries",
    responses={
        **GUARDED,
        200: answer(PAGE, "Newest first; `dead` ones are sent no more."),
        404: NO_WEBHOOK,
    },
)
def list_deliveries(
    webhook_id: str,
    here: Here,
    caller: Admin,
    limit: LongLimit = 20,
    cursor: Cursor = "",
    state: State | None = None,
) -> DeliveryPage:
    """List what was sent to a webhook, or is to be, or never got through."""
    mine = here.backend.webhooks(caller)
    if mine.find(webhook_id) is None:
        raise _not_found()
    try:
        found, more = mine.deliveries(
            webhook_id, after=cursor, limit=limit, state=state or ""
        )
    except KeyError as error:
        said = "cursor: not one that was handed out"
        raise Problem(422, "invalid_cursor", said) from error
    return DeliveryPage(
        data=[DeliveryOut.of(each) for each in found],
        next_cursor=found[-1].id if more else None,
    )


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=202,
    responses={
        **GUARDED,
        202: answer({"id": DELIVERY["id"]}, "It is sent again soon."),
        404: NO_WEBHOOK,
    },
)
def replay_delivery(
    webhook_id: str, delivery_id: str, here: Here, caller: Admin
) -> dict[str, str]:
    """Send a message again, under the same id, with all its attempts."""
    if not here.backend.webhooks(caller).replay(webhook_id, delivery_id):
        raise _not_found()
    return {"id": delivery_id}
