"""Reading requests: JSON bodies and multipart forms, checked; 4xx where wrong."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args

from anyio import to_thread
from fastapi import Request
from pydantic import BaseModel, TypeAdapter, ValidationError

from service.api.bodies import RecipeIn
from service.api.errors_http import Problem, invalid
from service.api.multipart import Form, StoredFile, stored_form
from service.storage.datasets import Datasets
from service.storage.queue import NORMAL, Priority
from service.text import clean

NAME_CHARS: Final = 200
FIELDS: Final = ("name", "recipe", "policy", "run_trial", "priority")
"""The text fields of an upload."""

Model = TypeVar("Model", bound=BaseModel)


async def json_body(request: Request, model: type[Model]) -> Model:
    """Return the checked JSON body; 400 where it is not JSON, 422 where wrong."""
    content = await request.body()
    return await to_thread.run_sync(parse_json, content, model)


def parse_json(content: bytes | str, model: type[Model]) -> Model:
    """Parse and check JSON; a body nested too deeply to parse is not JSON to us."""
    try:
        return model.model_validate(json.loads(content, object_pairs_hook=_unique))
    except ValidationError as error:
        raise invalid(error) from error
    except (ValueError, RecursionError) as error:
        raise Problem(
            400, "invalid_json", "The body is not valid JSON (UTF-8, each key once)."
        ) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice, as the reader of files does: both can mislead."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


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
        recipe=parse_json(given("recipe") or "{}", RecipeIn),
        policy=given("policy", ""),
        run_trial=_boolean(given("run_trial") or "true"),
        priority=_priority(given("priority") or NORMAL),
    )


def safe_name(name: str) -> str:
    """Return the last part of a file name, bounded; "upload" where nothing is left."""
    last = name.replace("\\", "/").split("/")[-1]
    return clean(last.strip(), NAME_CHARS) or "upload"


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
