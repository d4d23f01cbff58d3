"""Conditional GET: an answer that the client has already is not sent again."""

import hashlib
from typing import Final

from fastapi import Request
from fastapi.responses import Response

CACHE: Final = "private, no-cache"
"""Keep it, but ask each time: what was deleted is not to be shown from a cache."""


def tag(content: bytes) -> str:
    """Return the strong entity tag of an answer."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def unchanged(request: Request, etag: str) -> Response | None:
    """Return the 304 where the client has that answer; else None (RFC 9110, 13.1.2)."""
    given = request.headers.get("if-none-match", "")
    known = {each.strip().removeprefix("W/") for each in given.split(",")}
    if etag not in known and given.strip() != "*":
        return None
    return Response(status_code=304, headers=headers(etag))


def headers(etag: str) -> dict[str, str]:
    """Return the headers of an answer that can be asked for conditionally."""
    return {"ETag": etag, "Cache-Control": CACHE}


def answer_json(request: Request, content: bytes) -> Response:
    """Return JSON with its tag, or 304 where the client has it."""
    etag = tag(content)
    return unchanged(request, etag) or Response(
        content, media_type="application/json", headers=headers(etag)
    )
