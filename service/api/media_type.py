"""Media type: what kind of body a request has, as its first Content-Type says."""

import re
from collections.abc import Mapping
from typing import Final

from service.api.errors_http import Problem

MULTIPART: Final = "multipart/form-data"
JSON: Final = "application/json"
_ANY_JSON: Final = re.compile(r"application/([a-z0-9!#$&^_.-]+\+)?json")


def media_type(headers: Mapping[str, str]) -> str:
    """Return the media type of the body, without its parameters; "" without one."""
    return headers.get("content-type", "").split(";")[0].strip().lower()


def is_json(headers: Mapping[str, str]) -> bool:
    """Whether the body is said to be JSON, plain or of some `+json` kind."""
    return _ANY_JSON.fullmatch(media_type(headers)) is not None


def unknown_type(*known: str) -> Problem:
    """Return the 415 that names what is read instead."""
    said = f"Send the header Content-Type: {' or '.join(known)}, and such a body."
    return Problem(415, "unsupported_media_type", said)
