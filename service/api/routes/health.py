"""Whether the process answers, can work, and what it has counted."""

import hmac

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from service.api.auth import CHALLENGE, Given
from service.api.context import Here
from service.api.errors_http import RETRY_SECONDS, Problem
from service.api.openapi import answer, problem
from service.api.schemas import HealthOut, ReadyOut

router = APIRouter(tags=["health"])


@router.get("/", include_in_schema=False)
async def root(request: Request) -> RedirectResponse:
    """Lead a browser to the pages of the API."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")


@router.get("/healthz", responses={200: answer({"status": "ok"}, "The process is up.")})
async def healthz() -> HealthOut:
    """Say that the process answers."""
    return HealthOut(status="ok")


READY = {"status": "ready", "models": {"detector.explicit_harm": "1-5d41402a"}}


NOT_READY = problem("not_ready", "storage: no answer within 3 seconds")


@router.get("/readyz", responses={200: answer(READY, "Ready to work."), 503: NOT_READY})
async def readyz(here: Here) -> ReadyOut:
    """Say which models are loaded; 503 names what fails.

    That is the database, the storage or the models.
    """
    amiss = await here.readiness.look()
    try:
        models = here.models()
    except Problem as error:
        if not amiss:
            raise
        amiss = {**amiss, "models": str(error.detail)}
    if amiss:
        raise _not_ready(amiss)
    if models is None:
        return ReadyOut(status="ready", models={})
    names = {f"encoder.{models.encoder.name}": models.encoder.digest}
    names |= {f"detector.{each.name}": each.version for each in models.detectors}
    return ReadyOut(status="ready", models=names)


def _not_ready(amiss: dict[str, str]) -> Problem:
    return Problem(
        503,
        "not_ready",
        "; ".join(f"{part}: {said}" for part, said in amiss.items()),
        headers={"Retry-After": RETRY_SECONDS},
        errors=[{"field": part, "message": said} for part, said in amiss.items()],
    )


CLOSED = problem("unauthorized", "Send the token of TUNEGATE_METRICS_TOKEN.")
EXPOSED = 'tunegate_verdicts_total{outcome="ACCEPT"} 12.0\n'


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={
        200: {
            "description": "Metrics of this process, for Prometheus.",
            "content": {"text/plain": {"example": EXPOSED}},
        },
        401: CLOSED,
    },
)
async def metrics(request: Request, here: Here, given: Given) -> PlainTextResponse:
    """Return what this process has counted, in Prometheus' text format.

    It asks for the token of the settings; without one it is open where the service
    asks for no keys, and closed where it does.
    """
    token = here.settings.metrics_token.get_secret_value()
    said = given.credentials if given else ""
    if not hmac.compare_digest(said.encode(), token.encode()) or (
        not token and here.settings.auth != "open"
    ):
        said = (
            "Send the token of TUNEGATE_METRICS_TOKEN, or read TUNEGATE_METRICS_PORT."
        )
        raise Problem(401, "unauthorized", said, headers=CHALLENGE)
    text = await to_thread.run_sync(request.app.state.telemetry.metrics.text)
    return PlainTextResponse(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
