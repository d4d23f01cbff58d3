"""Headers of every answer: its request's id, what is left of the rate, no sniffing."""

import re
import secrets
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.rate_limit import Allowance

REQUEST_ID: Final = "X-Request-Id"
GIVEN: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestHeaders:
    """ASGI middleware: names each request, by its own word or by chance.

    The id is `request.state.request_id`; errors repeat it in their body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the headers to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        name = given if GIVEN.fullmatch(given) else secrets.token_hex(12)
        state = scope.setdefault("state", {})
        state["request_id"] = name

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = name
                headers["X-Content-Type-Options"] = "nosniff"
                allowance = state.get("allowance")
                if isinstance(allowance, Allowance):
                    headers.update(allowance.headers())
            await send(message)

        await self._app(scope, receive, headed)
