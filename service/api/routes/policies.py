"""Policies: kept under a name, version by version; tried on what is finished."""

from typing import Final

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from service.api.auth import Admin, Reader, Reviewer
from service.api.bodies import DryRunIn, PolicyIn
from service.api.conditional import answer_json
from service.api.context import Here, not_found
from service.api.errors_http import Problem
from service.api.openapi import (
    DECISION,
    DRY_RUN,
    GUARDED,
    NO_DRY_RUN,
    NOT_FOUND,
    NOT_JSON,
    POLICY,
    POLICY_ASKED,
    TOO_LARGE,
    TOO_SLOW,
    UNREADABLE,
    answer,
    body,
    problem,
)
from service.api.paging import Cursor, Limit
from service.api.reading import json_body
from service.api.schemas import DecisionOut, PolicyOut, PolicyPage
from service.api.submission import choose_policy
from service.policy import check_policy

router = APIRouter(prefix="/v1/policies", tags=["policies"])

NO_POLICY: Final = problem("policy_not_found", "There is no policy of that name.")
READ: Final = {**GUARDED, 400: UNREADABLE, 408: TOO_SLOW, 413: TOO_LARGE, 415: NOT_JSON}


@router.post(
    "",
    status_code=201,
    response_model=PolicyOut,
    responses={**READ, 201: answer(POLICY, "Kept; it is changed by none that follow.")},
    openapi_extra=body(
        {"application/json": (PolicyIn.model_json_schema(), POLICY_ASKED)}
    ),
)
async def add_policy(request: Request, here: Here, caller: Admin) -> JSONResponse:
    """Keep a policy as the next version of its name; keys left out keep defaults.

    `name` or `name@version` can then be the `policy` of a screening.
    """
    async with json_body(request, here, caller, PolicyIn) as asked:
        policy = check_policy(asked.content())
        add = here.backend.policies(caller).add
        kept = await to_thread.run_sync(add, asked.name, policy)
    shown = PolicyOut.of(kept)
    where = {"Location": f"{request.url.path}/{kept.reference}"}
    return JSONResponse(shown.model_dump(mode="json"), 201, headers=where)


PAGE: Final = {"data": [POLICY], "next_cursor": None}


@router.get("", responses={**GUARDED, 200: answer(PAGE, "Policies, by name.")})
def list_policies(
    here: Here, caller: Reader, limit: Limit = 20, cursor: Cursor = ""
) -> PolicyPage:
    """List the newest version of each policy, by name.

    One that another version of Tunegate kept may be listed as not `readable`.
    """
    found, more = here.backend.policies(caller).page(after=cursor, limit=limit)
    return PolicyPage(data=[PolicyOut.of(each) for each in found], next_cursor=more)


@router.get(
    "/{reference}",
    response_model=PolicyOut,
    responses={**GUARDED, 200: answer(POLICY, "The policy."), 404: NO_POLICY},
)
def get_policy(
    reference: str, request: Request, here: Here, caller: Reader
) -> Response:
    """Return a policy: `name@version`, or `name` for the newest."""
    kept = here.backend.policies(caller).find(reference)
    if kept is None:
        raise Problem(404, "policy_not_found", "There is no policy of that name.")
    return answer_json(request, PolicyOut.of(kept).model_dump_json().encode())


@router.post(
    "/dry-run",
    response_model=DecisionOut,
    responses={
        **READ,
        200: answer({**DECISION, "policy": "7d" * 32}, "What it would have said."),
        404: NOT_FOUND,
        409: NO_DRY_RUN,
    },
    openapi_extra=body({"application/json": (DryRunIn.model_json_schema(), DRY_RUN)}),
)
async def try_policy(request: Request, here: Here, caller: Reviewer) -> DecisionOut:
    """Say what a policy would have decided of a screening that is finished.

    Nothing is run again, and nothing changes: rows that it would have had moderated and
    that were not count as missing.
    """
    from service.jobs.dry_run import decide_again  # both import torch
    from service.report.composition import decision_section

    def act(asked: DryRunIn) -> DecisionOut:
        policy = choose_policy(here, caller, asked.policy)
        job = here.backend.holdings(caller).finished(asked.screening)
        if job is None:
            here.screening(asked.screening, caller)
            raise Problem(409, "screening_not_finished", "It has no findings yet.")
        store, limits = here.backend.store, here.settings.limits()
        try:
            decision = decide_again(store, job, policy, limits)
        except FileNotFoundError as error:
            raise not_found() from error
        shown = decision_section(decision).model_dump()
        return DecisionOut(**shown, policy=policy.digest)

    async with json_body(request, here, caller, DryRunIn) as asked:
        return await to_thread.run_sync(act, asked, limiter=here.dry_runs)
