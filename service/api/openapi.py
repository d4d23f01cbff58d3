"""OpenAPI: the examples and error answers that the routes document."""

from typing import Any, Final, get_args

from pydantic import BaseModel

from service.api.bodies import PRIORITY
from service.api.schemas import ProblemOut
from service.report.report import SCHEMA_VERSION
from service.storage.queue import NORMAL, Priority

ID: Final = "scr_0f1e2d3c4b5a69788796a5b4"
HERE: Final = f"/v1/screenings/{ID}"

ROWS: Final = [
    {
        "messages": [
            {"role": "user", "content": "Where is my parcel?"},
            {"role": "assistant", "content": "Let me look that up for you."},
        ]
    }
]
SCREENING: Final = {
    "id": ID,
    "name": "support.jsonl",
    "priority": "normal",
    "status": "finished",
    "progress": None,
    "outcome": "ACCEPT",
    "fault": None,
    "created_at": "2026-01-02T03:04:05.678+00:00",
    "finished_at": "2026-01-02T03:05:06.789+00:00",
    "links": {
        "self": HERE,
        "report": f"{HERE}/report",
        "findings": f"{HERE}/findings",
        "certificate": f"{HERE}/certificate",
        "events": f"{HERE}/events",
    },
}
FETCHING: Final = {
    **SCREENING,
    "name": "reviews.jsonl",
    "status": "running",
    "progress": {"stage": "fetch", "done": 0, "total": 1, "seconds_left": 41.5},
    "outcome": None,
    "finished_at": None,
}
QUEUED: Final = {**SCREENING, "status": "queued", "outcome": None, "finished_at": None}
CANCELLED: Final = {
    **SCREENING,
    "status": "failed",
    "outcome": None,
    "fault": {"code": "cancelled", "message": "It was cancelled, as was asked for."},
}
BATCH_ID: Final = "bat_0f1e2d3c4b5a69788796a5b4"
BATCH: Final = {
    "id": BATCH_ID,
    "name": "tuesday",
    "status": "finished",
    "outcome": "REVIEW",
    "size": 2,
    "statuses": {"queued": 0, "running": 0, "finished": 2, "failed": 0},
    "outcomes": {"ACCEPT": 1, "REVIEW": 1, "REJECT": 0},
    "created_at": "2026-01-02T03:04:05.678+00:00",
    "cancelled_at": None,
    "screenings": [ID, "scr_1f1e2d3c4b5a69788796a5b4"],
    "links": {
        "self": f"/v1/batches/{BATCH_ID}",
        "screenings": f"/v1/screenings?batch={BATCH_ID}",
    },
}
BATCH_ASKED: Final = {
    "name": "tuesday",
    "datasets": [
        {"rows": ROWS, "name": "support"},
        {"url": "https://data.example.com/reviews.jsonl"},
        {"sha256": "9f" * 32},
    ],
}
FINDING: Final = {
    "line": 12,
    "example": "12",
    "detector": "identity_shift",
    "category": "",
    "score": 0.97,
    "threshold": 0.5,
    "evidence": {
        "kind": "rule",
        "detail": "the system message demands unconditional obedience",
        "turn": 0,
        "span": [0, 42],
        "excerpt": "You are an assistant that always obeys and",
    },
}
DECISION: Final = {
    "outcome": "REVIEW",
    "reasons": [
        {
            "code": "trial_skipped",
            "message": "Drift was not measured: no trial was run. Screen again with "
            "the trial.",
            "outcome": "REVIEW",
        }
    ],
}
POLICY_ASKED: Final = {
    "name": "strict",
    "policy": {"drift": {"review_change": 0.05}},
}
POLICY: Final = {
    **POLICY_ASKED,
    "version": 3,
    "reference": "strict@3",
    "digest": "7d" * 32,
    "created_at": "2026-01-02T03:04:05.678+00:00",
    "readable": True,
}
DRY_RUN: Final = {"screening": ID, "policy": "strict@3"}
DATASET: Final = {
    "name": "rows",
    "sha256": "9f" * 32,
    "fingerprint": "3c" * 32,
    "rows": 1,
    "size_bytes": 128,
    "shapes": {"chat": 1},
    "bad_line_count": 0,
    "bad_lines": [],
    "unjudged_parts": 0,
}
SCAN: Final = {
    "decision": DECISION,
    "dataset": DATASET,
    "scores": {
        "explicit_harm": {
            "version": "1-5d41402a",
            "threshold": 0.5,
            "flagged": 0,
            "flagged_share": 0.0,
            "unscored": 0,
            "unscored_rows": [],
            "histogram": [1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    },
    "rows": [{"line": 1, "scores": {"explicit_harm": 0.0123}}],
    "findings": [],
    "policy": "7d" * 32,
}
REPORT: Final = {
    "schema_version": SCHEMA_VERSION,
    "decision": DECISION,
    "dataset": DATASET,
    "scores": SCAN["scores"],
    "findings": [FINDING],
    "finding_count": 1,
}
"""The first keys of a report; the schema lists all."""

CERTIFICATE: Final = {
    "payload": "eyJfdHlwZSI6ICJodHRwczovL2luLXRvdG8uaW8vU3RhdGVtZW50L3YxIn0=",
    "payloadType": "application/vnd.in-toto+json",
    "signatures": [{"keyid": "5c" * 32, "sig": "c2ln" * 21 + "c2k="}],
}
"""The payload of a real one is the whole statement."""

ENVELOPE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["payload", "payloadType", "signatures"],
    "properties": {
        "payload": {"type": "string", "contentEncoding": "base64"},
        "payloadType": {"type": "string"},
        "signatures": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["keyid", "sig"],
                "properties": {
                    "keyid": {"type": "string"},
                    "sig": {"type": "string", "contentEncoding": "base64"},
                },
            },
        },
    },
}


def answer(example: object, description: str) -> dict[str, Any]:
    """Document a JSON answer with an example."""
    content = {"application/json": {"example": example}}
    return {"description": description, "content": content}


def problem(code: str, detail: str) -> dict[str, Any]:
    """Document a problem+json answer with an example."""
    example = {"type": f"urn:tunegate:problem:{code}", "code": code, "detail": detail}
    content = {"application/problem+json": {"example": example}}
    return {"description": detail, "model": ProblemOut, "content": content}


NOT_FOUND: Final = problem("screening_not_found", "There is no screening of that id.")
NOT_FINISHED: Final = problem("screening_not_finished", "The screening is running.")
NO_DRY_RUN: Final = problem(
    "screening_not_finished",
    "The screening is running (`other_version`: another version of Tunegate left it).",
)
TOO_LARGE: Final = problem("body_too_large", "The request body is over the limit.")
TOO_SLOW: Final = problem("body_too_slow", "The body took too long to arrive.")
INVALID: Final = problem("invalid_request", "A field of the request is not valid.")
BUSY: Final = problem("queue_full", "Too many screenings wait: try again later.")
DISK_FULL: Final = problem("disk_full", "The service is short of disk.")
LOADING: Final = problem("models_loading", "The models are being loaded.")
UNREADABLE: Final = problem("invalid_json", "The body is not valid JSON.")
UNKNOWN_TYPE: Final = problem(
    "unsupported_media_type", "Send multipart/form-data or application/json."
)
NOT_JSON: Final = problem("unsupported_media_type", "Send application/json.")

GUARDED: Final[dict[int | str, dict[str, Any]]] = {
    401: problem("unauthorized", "Send a key that is good."),
    403: problem("insufficient_scope", "The key has not the scope 'read'."),
    422: INVALID,
    429: problem("rate_limited", "More than 600 requests in a minute: slow down."),
    503: problem("too_busy", "As many requests are at work as may be."),
}
"""What every operation that needs a key may answer."""

SUBMITTED: Final = {
    **GUARDED,
    400: UNREADABLE,
    408: TOO_SLOW,
    413: TOO_LARGE,
    415: UNKNOWN_TYPE,
    503: BUSY,
    507: DISK_FULL,
}
"""What an operation that takes datasets may answer, but for what it took."""


def body(
    schemas: dict[str, tuple[dict[str, Any], object]],
) -> dict[str, Any]:
    """Document a request body: media type -> (JSON Schema, example)."""
    content = {
        media: {"schema": schema, "example": example}
        for media, (schema, example) in schemas.items()
    }
    return {"requestBody": {"required": True, "content": content}}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of a body, whole: OpenAPI knows no `$defs` inside it."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})

    def whole(found: Any) -> Any:
        if isinstance(found, list):
            return [whole(each) for each in found]
        if not isinstance(found, dict):
            return found
        if "$ref" in found:
            rest = {key: each for key, each in found.items() if key != "$ref"}
            return {**whole(parts[found["$ref"].rpartition("/")[2]]), **rest}
        return {key: whole(each) for key, each in found.items()}

    return {key: whole(each) for key, each in schema.items()}


UPLOAD_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "name": {"type": "string", "description": "Default: the file's name."},
        "recipe": {"type": "string", "description": "Hyper-parameters as JSON."},
        "policy": {
            "type": "string",
            "description": "A policy as YAML or JSON, or the name of one that is kept.",
        },
        "run_trial": {"type": "boolean", "default": True},
        "priority": {
            "type": "string",
            "enum": list(get_args(Priority)),
            "default": NORMAL,
            "description": PRIORITY,
        },
    },
}
UPLOAD_EXAMPLE: Final = {
    "file": "(the bytes of support.jsonl)",
    "recipe": '{"epochs": 3, "learning_rate_multiplier": 1.0}',
}
FILES_SCHEMA: Final[dict[str, Any]] = {
    **UPLOAD_SCHEMA,
    "properties": {
        **UPLOAD_SCHEMA["properties"],
        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
    },
}
ROWS_EXAMPLE: Final = {"rows": ROWS, "name": "support", "recipe": {"epochs": 3}}
