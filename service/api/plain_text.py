"""Plain text: what all of a request must be, but for its rows, wherever it stands."""

from typing import Any, Final

from fastapi import Request

from service.api.errors_http import Problem
from service.text import clean, plain

EXPECTED: Final = "expected text without U+0000 and lone surrogates"


def check_plain(field: str, text: str) -> None:
    """Raise the 422 that names a field whose text is not plain."""
    if not plain(text):
        named = clean(field, 200)
        errors = [{"field": named, "message": EXPECTED}]
        raise Problem(422, "invalid_request", f"{named}: {EXPECTED}", errors=errors)


async def check_address(request: Request) -> None:
    """Raise 422 where a parameter of the path or the query is not plain text.

    Every route depends on it.
    """
    for name, value in request.path_params.items():
        check_plain(f"path.{name}", str(value))
    for name, value in request.query_params.multi_items():
        check_plain(f"query.{name}", name + value)


def all_plain(value: Any) -> bool:
    """Say whether all text in parsed JSON is plain, keys included."""
    if isinstance(value, dict):
        return all(map(all_plain, [*value, *value.values()]))
    if isinstance(value, list | tuple):
        return all(map(all_plain, value))
    return not isinstance(value, str) or plain(value)
