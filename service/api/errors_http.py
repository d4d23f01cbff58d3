"""Errors over HTTP: RFC 9457 problem+json with a stable code."""

from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from detectors.errors import InputError, ModelError, PolicyError, TunegateError
from service.storage.checkpoint import OtherVersion
from service.storage.objects import StoreUnavailable
from service.storage.store import QueueFull, TenantFull
from service.text import clean

MEDIA_TYPE: Final = "application/problem+json"
DETAIL_CHARS: Final = 1_000
RETRY_SECONDS: Final = "10"


class Problem(HTTPException):
    """An error to be answered: HTTP status, stable code, words, and what to do."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(status, clean(detail, DETAIL_CHARS), dict(headers or {}))
        self.code = code
        self.errors = tuple(errors)


def problem_response(problem: Problem, request: Request) -> JSONResponse:
    """Return the problem as RFC 9457 JSON, with the request's id."""
    body: dict[str, Any] = {
        "type": f"urn:tunegate:problem:{problem.code}",
        "title": HTTPStatus(problem.status_code).phrase,
        "status": problem.status_code,
        "code": problem.code,
        "detail": problem.detail,
    }
    if problem.errors:
        body["errors"] = list(problem.errors)
    headers = dict(problem.headers or {})
    request_id = getattr(request.state, "request_id", "")
    if request_id:
        body["request_id"] = request_id
        headers["X-Request-Id"] = request_id
    return JSONResponse(
        body, problem.status_code, headers=headers, media_type=MEDIA_TYPE
    )


def invalid(
    found: ValidationError | RequestValidationError,
    place: tuple[str, ...] = (),
    allowed: Collection[str] = (),
) -> Problem:
    """Return the 422 that names every field at fault; values are not echoed.

    `place` is where the content stands that was checked; `allowed` are its keys.
    """
    errors = [
        {
            "field": clean(".".join(map(str, (*place, *each["loc"]))), 200),
            "message": clean(_said(each, allowed), 500),
        }
        for each in list(found.errors())[:20]
    ]
    said = "; ".join(f"{each['field']}: {each['message']}" for each in errors[:3])
    return Problem(422, "invalid_request", said, errors=errors)


def _said(error: Mapping[str, Any], allowed: Collection[str]) -> str:
    if allowed and error["type"] == "extra_forbidden":
        return f"unknown key; allowed: {', '.join(allowed)}"
    return str(error["msg"])


def problem_of(error: TunegateError) -> Problem:
    """Say what one of the project's own errors means over HTTP."""
    if isinstance(error, PolicyError):
        return Problem(422, "invalid_policy", str(error))
    if isinstance(error, OtherVersion):
        return Problem(409, "other_version", str(error))
    if isinstance(error, InputError):
        return Problem(422, "invalid_input", str(error))
    if isinstance(error, ModelError):
        return Problem(503, "model_unavailable", str(error))
    return Problem(500, "internal_error", "The request failed.")


def add_handlers(app: FastAPI) -> None:
    """Answer every error of the app as problem+json."""

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        problem = error if isinstance(error, Problem) else _foreign(request, error)
        return problem_response(problem, request)

    @app.exception_handler(RequestValidationError)
    async def validation(
        request: Request, error: RequestValidationError
    ) -> JSONResponse:
        return problem_response(invalid(error), request)

    @app.exception_handler(TunegateError)
    async def ours(request: Request, error: TunegateError) -> JSONResponse:
        return problem_response(problem_of(error), request)

    @app.exception_handler(StoreUnavailable)
    async def no_store(request: Request, error: StoreUnavailable) -> JSONResponse:
        return problem_response(_away("storage", "The object store"), request)

    @app.exception_handler(OperationalError)
    @app.exception_handler(InterfaceError)
    async def no_database(request: Request, error: Exception) -> JSONResponse:
        return problem_response(_away("database", "The database"), request)

    @app.exception_handler(QueueFull)
    async def queue_full(request: Request, error: QueueFull) -> JSONResponse:
        said = "As many screenings wait as are allowed to: try again later."
        return problem_response(_later(503, "queue_full", said), request)

    @app.exception_handler(TenantFull)
    async def tenant_full(request: Request, error: TenantFull) -> JSONResponse:
        said = "As many screenings of yours wait as are allowed to: try again later."
        return problem_response(_later(429, "tenant_queue_full", said), request)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        return problem_response(
            Problem(500, "internal_error", "The request failed."), request
        )


def _foreign(request: Request, error: HTTPException) -> Problem:
    """Say what an error of the framework's means."""
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request)
    return Problem(error.status_code, code, str(error.detail), headers=headers)


def _allowed(request: Request) -> str:
    """Return the methods of a path: those of all its routes, the router knows of one.

    Where one route has just that path, those with a parameter in its place are others.
    """
    fits = [
        each
        for each in request.app.state.routes
        if isinstance(each, Route) and each.matches(request.scope)[0] != Match.NONE
    ]
    named = [each for each in fits if each.path == request.url.path]
    return ", ".join(sorted({m for each in named or fits for m in each.methods or ()}))


def _away(what: str, name: str) -> Problem:
    said = f"{name} does not answer: try again shortly."
    return _later(503, f"{what}_unavailable", said)


def _later(status: int, code: str, said: str) -> Problem:
    return Problem(status, code, said, headers={"Retry-After": RETRY_SECONDS})
