"""Who calls: the key of a request becomes a Caller; 401 without one, 403 beyond it."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.context import Context, Here
from service.api.crowd import take_place
from service.api.errors_http import RETRY_SECONDS, Problem
from service.caller import OPEN, Caller, Scope
from service.oidc import IdentityUnavailable

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="tunegate"'}

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="An API key (`tunegate keys create`), or a token of the operator's "
    "identity provider. Where the service asks for none, "
    "it may be left out.",
)
Given = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


async def identify(request: Request, here: Here, given: Given) -> Caller:
    """Return who calls; 401 where a key is missing or not good, 429 after many.

    A key that is given is looked at also where none is asked for.
    """
    if given is None:
        if "authorization" in request.headers or here.settings.auth == "keys":
            raise _unknown()
        return _admitted(request, here, OPEN)
    here.wrong_keys.check(request, given.credentials)
    caller = await to_thread.run_sync(_find, here, given.credentials)
    if caller is None:
        here.wrong_keys.wrong(request)
        raise _unknown()
    here.wrong_keys.right(given.credentials)
    return _admitted(request, here, caller)


def _find(here: Context, text: str) -> Caller | None:
    """Return whose key or token that is; None where it is nobody's, or not good."""
    if here.tokens is not None and text.count(".") == 2:
        try:
            return here.tokens.find(text)
        except IdentityUnavailable as error:
            said = "The identity provider does not answer: try again shortly."
            retry = {"Retry-After": RETRY_SECONDS}
            raise Problem(503, "identity_unavailable", said, headers=retry) from error
    key = here.backend.keys.find(text)
    return None if key is None else key.caller


def _admitted(request: Request, here: Context, caller: Caller) -> Caller:
    """Let a caller pass who does not ask too often or too much at once; else 429."""
    allowance = here.rates.take(caller.tenant)
    request.state.allowance = allowance
    if allowance is not None and not allowance.granted:
        said = f"More than {allowance.limit} requests in a minute: slow down."
        raise Problem(429, "rate_limited", said)
    take_place(request, caller.tenant)
    return caller


def holding(scope: Scope) -> Callable[[Caller], Awaitable[Caller]]:
    """Return the dependency that lets only callers of that scope through."""

    async def check(caller: Annotated[Caller, Depends(identify)]) -> Caller:
        if not caller.may(scope):
            said = f"The key has not the scope {scope!r} that this needs."
            raise Problem(403, "insufficient_scope", said)
        return caller

    return check


def _unknown() -> Problem:
    said = "Send a key that is good: `Authorization: Bearer tg_...`."
    return Problem(401, "unauthorized", said, headers=CHALLENGE)


Submitter = Annotated[Caller, Depends(holding("submit"))]
Reader = Annotated[Caller, Depends(holding("read"))]
Reviewer = Annotated[Caller, Depends(holding("review"))]
Admin = Annotated[Caller, Depends(holding("admin"))]
