"""Body limit: a request body over its limit is refused while it arrives."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors_http import Problem
from service.api.media_type import MULTIPART, media_type

FORM_OVERHEAD_BYTES = 1024 * 1024
"""What a multipart form may add to its file: boundaries and the other fields."""


class BodyLimit:
    """ASGI middleware: counts body bytes, and answers 413 past the limit.

    Forms have their own limit on the paths that take them, which store them as they
    arrive.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        form_paths: Collection[str],
        upload_bytes: int,
        other_bytes: int,
    ) -> None:
        self._app = app
        self._form_paths = frozenset(form_paths)
        self._upload_bytes = upload_bytes + FORM_OVERHEAD_BYTES
        self._other_bytes = other_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting what is received."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._limit(scope, headers)
        announced = headers.get("content-length", "")
        received = 0

        async def counted() -> Message:
            nonlocal received
            if announced.isdecimal() and int(announced[:20]) > limit:
                raise _too_large(limit)
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    raise _too_large(limit)
            return message

        await self._app(scope, counted, send)

    def _limit(self, scope: Scope, headers: Headers) -> int:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        form = path in self._form_paths and media_type(headers) == MULTIPART
        return self._upload_bytes if form else self._other_bytes


def _too_large(limit: int) -> Problem:
    return Problem(
        413,
        "body_too_large",
        f"The request body is over {limit} bytes: split the dataset, or ask the "
        "operator to raise the limit.",
        headers={"Connection": "close"},
    )
