"""Screening: one that was asked for, and how the database keeps it."""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast

from sqlalchemy import RowMapping

from detectors.errors import RecipeError
from service.caller import DEFAULT_TENANT, Caller
from service.policy import Policy
from service.report.report import OutcomeName
from service.storage.checkpoint import OtherVersion
from service.storage.datasets import Given, Link
from service.storage.queue import NORMAL, Priority
from service.text import storable
from trial.recipe import Recipe

Status = Literal["queued", "running", "finished", "failed"]
OVER: Final = ("finished", "failed")
SCREENING_ID: Final = re.compile(r"scr_[0-9a-f]{24}")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a screening failed: a stable code and words."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Screening:
    """One screening asked for, and how far it is. Times are UTC, ISO 8601."""

    id: str
    name: str
    created_at: str
    status: Status = "queued"
    stage: str = ""
    done: int = 0
    total: int = 0
    outcome: OutcomeName | None = None
    fault: Fault | None = None
    finished_at: str | None = None
    report: str | None = None
    tenant: str = DEFAULT_TENANT
    run_trial: bool = True
    base_model: str = ""
    stage_at: str | None = None
    stages: Mapping[str, Any] = field(default_factory=dict)
    priority: Priority = NORMAL

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in OVER


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of a screening."""

    name: str
    policy: Policy
    recipe: Recipe
    run_trial: bool
    priority: Priority = NORMAL


@dataclass(frozen=True, slots=True)
class Job:
    """An order accepted: the dataset by its digest, and in which form it came.

    `dataset` is "" where it is still to be fetched.
    """

    screening_id: str
    order: Order
    dataset: str
    form: str
    started_at: str


def now() -> str:
    """Return the time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def new_screening(order: Order, by: Caller) -> Screening:
    """Return what an order of a caller's becomes."""
    name = f"scr_{secrets.token_hex(12)}"
    return Screening(name, order.name, now(), tenant=by.tenant, priority=order.priority)


def row_of(screening: Screening, order: Order, given: Given) -> dict[str, Any]:
    """Return the row of a screening that is queued, the URL of a link apart."""
    here = None if isinstance(given, Link) else given
    return {
        "id": screening.id,
        "tenant": screening.tenant,
        "name": storable(screening.name),
        "created_at": screening.created_at,
        "status": screening.status,
        "stage": screening.stage,
        "done": screening.done,
        "total": screening.total,
        "dataset": here.digest if here else None,
        "form": here.form if here else "file",
        "policy": order.policy.model_dump(mode="json"),
        "recipe": asdict(order.recipe),
        "run_trial": order.run_trial,
        "priority": screening.priority,
    }


def request_digest(order: Order, given: Given) -> str:
    """Return the SHA-256 of all that a request comes to; of a link that is its URL.

    Earlier versions kept it with an idempotency key: see `Once`.
    """
    said: dict[str, Any] = {
        "name": order.name,
        "policy": order.policy.digest,
        "recipe": asdict(order.recipe),
        "run_trial": order.run_trial,
    }
    if (
        order.priority != NORMAL
    ):  # left out, so that a key sent before the upgrade still fits
        said["priority"] = order.priority
    if isinstance(given, Link):
        said["url"] = given.url
    else:
        said |= {"dataset": given.digest, "form": given.form}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _recipe(plain: Mapping[str, Any]) -> Recipe:
    targets: Sequence[str] = plain["targets"]
    return Recipe(**{**plain, "targets": tuple(targets)})


def job_of(row: RowMapping) -> Job:
    """Return what a row asks for; OtherVersion where this version cannot read it."""
    try:
        policy, recipe = Policy.model_validate(row["policy"]), _recipe(row["recipe"])
    except (LookupError, TypeError, ValueError, RecipeError) as error:
        raise OtherVersion(row["id"]) from error
    order = Order(
        name=row["name"],
        policy=policy,
        recipe=recipe,
        run_trial=row["run_trial"],
        priority=cast(Priority, row["priority"]),
    )
    started_at = row["started_at"] or row["created_at"]
    dataset = row["dataset"] or ""
    return Job(row["id"], order, dataset, row["form"], started_at)


def screening_of(row: RowMapping) -> Screening:
    """Return the screening of a row."""
    code = row["fault_code"]
    return Screening(
        id=row["id"],
        name=row["name"],
        created_at=row["created_at"],
        status=cast(Status, row["status"]),
        stage=row["stage"],
        done=row["done"],
        total=row["total"],
        outcome=row["outcome"],
        fault=None if code is None else Fault(code, row["fault_message"]),
        finished_at=row["finished_at"],
        report=row["report"],
        tenant=row["tenant"],
        run_trial=row["run_trial"],
        base_model=row["recipe"].get("base_model", ""),
        stage_at=row["stage_at"],
        stages=row["stages"] or {},
        priority=cast(Priority, row["priority"]),
    )
