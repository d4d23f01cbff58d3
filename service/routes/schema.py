"""The JSON Schema of a report."""

from fastapi import APIRouter
from fastapi.responses import Response

from service.openapi import answer
from service.report import report_schema, schema_text

router = APIRouter(prefix="/v1/schemas", tags=["schemas"])

EXAMPLE = {key: report_schema()[key] for key in ("$schema", "$id", "title", "type")}


@router.get("/report", responses={200: answer(EXAMPLE, "JSON Schema 2020-12.")})
async def report() -> Response:
    """Return the JSON Schema that every report is valid against."""
    return Response(schema_text(), media_type="application/schema+json")
