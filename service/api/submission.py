"""Submission: what a request asks to have screened, checked, accepted and queued."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import Header, Request
from pydantic import WithJsonSchema

from service.api.asked import dataset_name, once_of, said_of, said_of_file
from service.api.bodies import DatasetIn, ScreeningIn, TreatmentIn
from service.api.context import Context
from service.api.errors_http import Problem
from service.api.media_type import JSON, MULTIPART, is_json, media_type, unknown_type
from service.api.reading import UploadForm, json_body, safe_name, upload_form
from service.api.rows import StoredRows
from service.caller import Caller
from service.policy import Policy, check_policy, parse_policy
from service.sources import check_link
from service.storage.datasets import Given, Link, Upload
from service.storage.once import Once
from service.storage.policies import REFERENCE
from service.storage.queue import Priority
from service.storage.screening import Order, Screening
from service.storage.store import KeyReused
from trial.recipe import Recipe

IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
IdempotencyKey = Annotated[
    Annotated[str, WithJsonSchema({"type": "string", "pattern": "^[!-~]{1,255}$"})]
    | None,
    Header(description="A request sent twice under one key counts once."),
]
"""The header as it is documented; `idempotency_key` reads and checks it."""


async def submit(request: Request, here: Context, caller: Caller) -> Screening:
    """Queue what the request asks for; a key that was seen gives what it gave then."""
    key = await admit(request)
    if media_type(request.headers) == MULTIPART:
        async with upload_form(request, here.backend.store.datasets) as form:
            work = partial(_queue_upload, here, form, caller, key)
            return await to_thread.run_sync(work, limiter=here.accepts)
    rows = StoredRows(here.backend.store.datasets)
    async with json_body(request, here, caller, ScreeningIn, rows) as asked:
        once = once_of(key, asked, "", [said_of(asked)])
        seen = partial(seen_before, here, caller, once, asked.rows)
        before = await to_thread.run_sync(seen)
        if before is not None:
            return before
        treatment = await to_thread.run_sync(treatment_of, here, asked, caller)
        given = await to_thread.run_sync(obtain, here, asked, caller)
        order = treatment.order(dataset_name(asked))
        work = partial(_queue, here, caller, order, given, once)
        return await to_thread.run_sync(work, limiter=here.accepts)


async def admit(request: Request) -> str:
    """Return the digest of the request's idempotency key, "" without one.

    415 where the body is of no kind that is read.
    """
    key = idempotency_key(request)
    if media_type(request.headers) != MULTIPART and not is_json(request.headers):
        raise unknown_type(MULTIPART, JSON)
    return key


@dataclass(frozen=True, slots=True)
class Treatment:
    """How datasets are to be screened, checked."""

    policy: Policy
    recipe: Recipe
    run_trial: bool
    priority: Priority

    def order(self, name: str) -> Order:
        """Return the order for a dataset."""
        return Order(name, self.policy, self.recipe, self.run_trial, self.priority)


def treatment_of(
    here: Context, asked: UploadForm | TreatmentIn, caller: Caller
) -> Treatment:
    """Check how datasets are to be screened; PolicyError, RecipeError, 403, 422."""
    return Treatment(
        choose_policy(here, caller, asked.policy),
        asked.recipe.recipe(here.settings),
        asked.run_trial and here.settings.run_trial,
        _allowed_priority(here, asked.priority, caller),
    )


def _allowed_priority(here: Context, asked: Priority, caller: Caller) -> Priority:
    """Return the priority; 403 where it would put a tenant before all others."""
    if asked == "high" and caller.tenant not in here.settings.high_priority_tenants:
        said = "priority: high is not for you: ask for normal or low"
        raise Problem(403, "priority_not_allowed", said)
    return asked


def idempotency_key(request: Request) -> str:
    """Return the digest of the Idempotency-Key, "" without one; 422 if it is unfit."""
    given = request.headers.get("idempotency-key")
    if given is None:
        return ""
    if not IDEMPOTENCY_KEY.fullmatch(given):
        said = "Idempotency-Key: expected 1 to 255 visible ASCII characters"
        raise Problem(422, "invalid_request", said)
    return hashlib.sha256(given.encode("ascii")).hexdigest()


def choose_policy(
    here: Context, caller: Caller, given: str | dict[str, Any] | None
) -> Policy:
    """Return the policy that was given, named, or is the service's own.

    PolicyError where it is wrong, 422 where none has that name.
    """
    if given is None or given == "":
        return here.policy
    if isinstance(given, dict):
        return check_policy(given)
    if not REFERENCE.fullmatch(given.strip()):
        return parse_policy(given.encode())
    found = here.backend.policies(caller).find(given.strip())
    if found is None:
        said = f"policy: there is none named {given.strip()!r}"
        raise Problem(422, "unknown_policy", said)
    return found.readable()


def obtain(here: Context, asked: DatasetIn, caller: Caller) -> Given:
    """Return the dataset that was given or named, in the store, or what to fetch."""
    if asked.url:
        check_link(asked.url, here.settings, caller.tenant)
        return Link(asked.url)
    if asked.sha256:
        found = here.backend.holdings(caller).dataset(asked.sha256)
        if found is None:
            said = "sha256: no screening of yours holds such a dataset"
            raise Problem(422, "unknown_dataset", said)
        return found
    assert asked.rows is not None, "a dataset is checked to have one origin"
    return asked.rows


def seen_before(
    here: Context, caller: Caller, once: Once, given: Upload | None
) -> Screening | None:
    """Return what just this request was given before, and drop what it sent again.

    Nothing that it names is looked at: that may not be there any more.
    """
    found = here.backend.store.accepted(caller, once)
    if found is not None and given is not None:
        here.backend.store.datasets.discard(given)
    return found


def _queue_upload(
    here: Context, form: UploadForm, caller: Caller, key: str
) -> Screening:
    file = form.files[0]
    once = once_of(key, form, "", [said_of_file(file, form.name)])
    before = seen_before(here, caller, once, file.upload)
    if before is not None:
        return before
    treatment = treatment_of(here, form, caller)
    order = treatment.order(safe_name(form.name or file.filename))
    return _queue(here, caller, order, file.upload, once)


def _queue(
    here: Context, caller: Caller, order: Order, given: Given, once: Once
) -> Screening:
    with refusals():
        return here.backend.accept(order, given, caller, once=once)


@contextmanager
def refusals() -> Iterator[None]:
    """Say over HTTP why something was not accepted."""
    try:
        yield
    except KeyReused as error:
        said = "Idempotency-Key: it was sent before with another request"
        raise Problem(422, "idempotency_key_reused", said) from error
