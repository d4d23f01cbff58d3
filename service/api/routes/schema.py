"""The JSON Schemas of what enters and leaves, for programs to check against."""

import json
from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

from service.api.bodies import BatchIn, ScreeningIn
from service.api.errors_http import Problem
from service.api.openapi import INVALID, answer, problem
from service.api.schemas import (
    BatchOut,
    FindingPage,
    PolicyOut,
    ProblemOut,
    ScreeningOut,
)
from service.policy import Policy
from service.report.report import report_schema, schema_text

router = APIRouter(prefix="/v1/schemas", tags=["schemas"])

MODELS: Final[dict[str, type[BaseModel]]] = {
    "batch": BatchOut,
    "batch-request": BatchIn,
    "findings": FindingPage,
    "policy": Policy,
    "kept-policy": PolicyOut,
    "problem": ProblemOut,
    "screening": ScreeningOut,
    "screening-request": ScreeningIn,
}
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MEDIA_TYPE: Final = "application/schema+json"
EXAMPLE: Final = {
    key: report_schema()[key] for key in ("$schema", "$id", "title", "type")
}
FOUND: Final = {
    "description": "JSON Schema 2020-12.",
    "content": {MEDIA_TYPE: {"schema": {"type": "object"}, "example": EXAMPLE}},
}
UNKNOWN: Final = problem("schema_not_found", "There is no schema of that name.")


class SchemaResponse(Response):
    """A JSON Schema."""

    media_type = MEDIA_TYPE


@router.get(
    "",
    responses={200: answer({"schemas": ["/v1/schemas/report"]}, "Where they are.")},
)
async def schemas() -> dict[str, list[str]]:
    """List the schemas."""
    return {"schemas": [f"/v1/schemas/{name}" for name in sorted(["report", *MODELS])]}


@router.get(
    "/{name}",
    response_class=SchemaResponse,
    responses={200: FOUND, 404: UNKNOWN, 422: INVALID},
)
async def schema(name: str) -> Response:
    """Return a schema; every report is valid against the one named `report`."""
    if name == "report":
        return SchemaResponse(schema_text())
    model = MODELS.get(name)
    if model is None:
        raise Problem(404, "schema_not_found", "There is no schema of that name.")
    made = {"$schema": DIALECT, **model.model_json_schema(mode="serialization")}
    return SchemaResponse(json.dumps(made, indent=2) + "\n")
