"""Reading requests: JSON bodies and multipart forms, checked; 4xx where wrong."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar, get_args

from anyio import CancelScope, move_on_after, to_thread
from fastapi import Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

from service.api.bodies import RecipeIn
from service.api.context import Context
from service.api.errors_http import Problem, invalid
from service.api.json_text import MAX_VALUES, TooManyValues, read_json, unique
from service.api.media_type import JSON, is_json, unknown_type
from service.api.multipart import Form, StoredFile, stored_form
from service.api.rows import NO_ROWS, Rows
from service.caller import Caller
from service.storage.datasets import Datasets
from service.storage.queue import NORMAL, Priority
from service.text import clean, storable

NAME_CHARS: Final = 200
FIELDS: Final = ("name", "recipe", "policy", "run_trial", "priority")
"""The text fields of an upload."""

ARRIVAL_SECONDS: Final = 120.0
"""Longest that a JSON body may arrive: meanwhile it takes room that others want."""

Model = TypeVar("Model", bound=BaseModel)


@asynccontextmanager
async def json_body(
    request: Request,
    here: Context,
    caller: Caller,
    model: type[Model],
    rows: Rows = NO_ROWS,
) -> AsyncIterator[Model]:
    """Give the checked JSON body; 415 or 400 where it is no JSON, 422 where wrong.

    It must be called JSON: no page elsewhere can then have a browser send it unasked.
    It is read once there is room for it. Where that or what is done with it fails, its
    rows are removed from the store.
    """
    if not is_json(request.headers):
        raise unknown_type(JSON)
    async with here.budget.room(caller.tenant, _announced(request, here)):
        content = await _content(request)
        work = partial(_checked_body, content, model, rows)
        try:
            yield await to_thread.run_sync(work, limiter=here.parses)
        except BaseException:
            with CancelScope(shield=True):
                await to_thread.run_sync(rows.discard)
            raise


def _announced(request: Request, here: Context) -> int:
    """Return how long a body may get; 0 where it will be refused for its length."""
    given, most = (
        request.headers.get("content-length", ""),
        here.settings.max_json_bytes,
    )
    if not given.isdecimal():
        return most
    size = int(given[:20])
    return 0 if size > most else size


async def _content(request: Request) -> bytearray:
    """Read a body; 408 where it does not come to its end in time, 400 where it ends."""
    content = bytearray()
    with move_on_after(ARRIVAL_SECONDS) as limit:
        try:
            async for block in request.stream():
                content += block
        except ClientDisconnect as error:
            said = "The connection ended before the body did."
            raise Problem(400, "invalid_request", said) from error
    if limit.cancelled_caught:
        said = f"The body took more than {ARRIVAL_SECONDS:.0f} seconds to arrive."
        raise Problem(408, "body_too_slow", said, headers={"Connection": "close"})
    return content


def _checked_body(content: bytearray, model: type[Model], rows: Rows) -> Model:
    """Parse and check a body, which is used up."""
    with _refusals():
        text = content.decode(json.detect_encoding(content), "surrogatepass")
        content.clear()
        return model.model_validate(read_json(text, rows.take))


def parse_field(name: str, text: str, model: type[Model]) -> Model:
    """Parse and check the JSON in a field of a form; 422 where wrong, by its name."""
    try:
        return model.model_validate(json.loads(text, object_pairs_hook=unique))
    except ValidationError as error:
        raise invalid(error, (name,), model.model_fields) from error
    except (ValueError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        said = f"{name}: not valid JSON: {'nested too deeply' if deep else error}"
        raise Problem(422, "invalid_request", said) from error


@contextmanager
def _refusals() -> Iterator[None]:
    """Say over HTTP why JSON was not taken."""
    try:
        yield
    except ValidationError as error:
        raise invalid(error) from error
    except TooManyValues as error:
        said = f"A row, or all but the rows, has more than {MAX_VALUES} values."
        raise Problem(413, "too_many_values", said) from error
    except (ValueError, RecursionError) as error:
        raise Problem(
            400, "invalid_json", "The body is not valid JSON (UTF-8, each key once)."
        ) from error


@dataclass(frozen=True, slots=True)
class UploadForm:
    """The fields of a multipart upload, checked, and its files in the store."""

    files: tuple[StoredFile, ...]
    name: str
    recipe: RecipeIn
    policy: str
    run_trial: bool
    priority: Priority


@asynccontextmanager
async def upload_form(
    request: Request, datasets: Datasets, *, max_files: int = 1
) -> AsyncIterator[UploadForm]:
    """Give a checked multipart upload; what is not accepted in time is removed."""
    asked = stored_form(request, datasets, fields=FIELDS, max_files=max_files)
    async with asked as form:
        yield _checked_form(form)


def _checked_form(form: Form) -> UploadForm:
    if not form.files:
        raise Problem(422, "invalid_request", "file: the dataset is missing")
    given = form.fields.get
    return UploadForm(
        files=tuple(form.files),
        name=given("name", ""),
        recipe=parse_field("recipe", given("recipe") or "{}", RecipeIn),
        policy=given("policy", ""),
        run_trial=_boolean(given("run_trial") or "true"),
        priority=_priority(given("priority") or NORMAL),
    )


def safe_name(name: str) -> str:
    """Return the last part of a file name, bounded; "upload" where nothing is left."""
    last = name.replace("\\", "/").split("/")[-1]
    return clean(storable(last).strip(), NAME_CHARS) or "upload"


def _boolean(text: str) -> bool:
    try:
        return TypeAdapter(bool).validate_python(text)
    except ValidationError as error:
        raise Problem(
            422, "invalid_request", "run_trial: expected true or false"
        ) from error


def _priority(text: str) -> Priority:
    try:
        return TypeAdapter[Priority](Priority).validate_python(text)
    except ValidationError as error:
        raise Problem(
            422,
            "invalid_request",
            f"priority: expected {', '.join(get_args(Priority))}",
        ) from error
