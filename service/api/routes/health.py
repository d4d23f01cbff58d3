"""Whether the process answers, and whether its models are loaded."""

from fastapi import APIRouter

from service.api.context import Here
from service.api.openapi import LOADING, answer
from service.api.schemas import HealthOut, ReadyOut

router = APIRouter(tags=["health"])


@router.get("/healthz", responses={200: answer({"status": "ok"}, "The process is up.")})
async def healthz() -> HealthOut:
    """Say that the process answers."""
    return HealthOut(status="ok")


READY = {"status": "ready", "models": {"detector.explicit_harm": "1-5d41402a"}}


@router.get(
    "/readyz", responses={200: answer(READY, "The models are loaded."), 503: LOADING}
)
async def readyz(here: Here) -> ReadyOut:
    """Say which models are loaded; 503 until they are."""
    models = here.models()
    if models is None:
        return ReadyOut(status="ready", models={})
    names = {f"encoder.{models.encoder.name}": models.encoder.digest}
    names |= {f"detector.{each.name}": each.version for each in models.detectors}
    return ReadyOut(status="ready", models=names)
