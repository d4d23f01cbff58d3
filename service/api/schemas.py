"""Schemas: what leaves over HTTP, beside the report itself."""

from typing import Any, get_args

from pydantic import BaseModel, Field

from service.report.report import (
    DatasetSection,
    DecisionSection,
    DetectorSection,
    FindingSection,
    OutcomeName,
)
from service.storage.batch import Batch, BatchStatus
from service.storage.policies import KeptPolicy
from service.storage.queue import Priority
from service.storage.screening import Fault, Screening, Status
from service.storage.webhooks import Delivery, State, Webhook
from service.text import clean


class PolicyOut(BaseModel):
    """One version of a policy."""

    name: str
    version: int
    reference: str = Field(description="name@version: what a screening may name.")
    digest: str
    created_at: str
    policy: dict[str, Any]
    readable: bool = Field(
        description="false: of another version of Tunegate, and to be submitted again."
    )

    @classmethod
    def of(cls, kept: KeptPolicy) -> "PolicyOut":
        """Take it from the store."""
        return cls(
            name=kept.name,
            version=kept.version,
            reference=kept.reference,
            digest=kept.digest,
            created_at=kept.created_at,
            policy=kept.content,
            readable=kept.policy is not None,
        )


class PolicyPage(BaseModel):
    """Policies by name; `next_cursor` is null on the last page."""

    data: list[PolicyOut]
    next_cursor: str | None


class DecisionOut(DecisionSection):
    """What a policy would have said."""

    policy: str = Field(description="Digest of that policy.")


class WebhookOut(BaseModel):
    """A webhook, without its secret."""

    id: str
    url: str
    created_at: str

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookOut":
        """Take it from the store."""
        return cls(id=webhook.id, url=webhook.url, created_at=webhook.created_at)


class WebhookMade(WebhookOut):
    """A new webhook, with the secret that its receiver verifies signatures with."""

    secret: str

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookMade":
        """Take it from the store."""
        shown = WebhookOut.of(webhook).model_dump()
        return cls(**shown, secret=webhook.secret)


class WebhookPage(BaseModel):
    """All webhooks of a tenant."""

    data: list[WebhookOut]


class DeliveryOut(BaseModel):
    """A message, and how far it got."""

    id: str
    payload: dict[str, Any]
    created_at: str
    state: State
    attempts: int
    next_at: str | None
    said: str = Field(description="How the last attempt ended.")

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryOut":
        """Take it from the store."""
        return cls(**{name: getattr(delivery, name) for name in cls.model_fields})


class DeliveryPage(BaseModel):
    """Messages, newest first; `next_cursor` is null on the last page."""

    data: list[DeliveryOut]
    next_cursor: str | None


class FaultOut(BaseModel):
    """Why a screening failed."""

    code: str = Field(description="Stable, for machines.")
    message: str

    @classmethod
    def of(cls, fault: Fault) -> "FaultOut":
        """Take it from the store."""
        return cls(code=fault.code, message=clean(fault.message))


class ProgressOut(BaseModel):
    """How far a running screening is."""

    stage: str = Field(
        description="`fetch` of a URL, `read`, each detector, the trial's, `report`."
    )
    done: int
    total: int
    seconds_left: float | None = Field(
        description="Of work, waits apart, by the last screenings; null where none "
        "like it is finished."
    )


class Links(BaseModel):
    """Where to go from here; all but `events` answer 409 until finished."""

    self: str
    report: str
    findings: str
    certificate: str
    events: str


class ScreeningOut(BaseModel):
    """A screening: how far it is, and its outcome once finished."""

    id: str
    name: str
    priority: Priority = Field(description="How soon, among those that wait.")
    status: Status
    progress: ProgressOut | None
    outcome: OutcomeName | None
    fault: FaultOut | None
    created_at: str
    finished_at: str | None
    links: Links

    @classmethod
    def of(
        cls, screening: Screening, root: str = "", left: float | None = None
    ) -> "ScreeningOut":
        """Take it from the store; `root` is the path the app is mounted at.

        `left` is the estimate of the seconds that it still takes.
        """
        here = f"{root}/v1/screenings/{screening.id}"
        fault, running = screening.fault, screening.status == "running"
        progress = ProgressOut(
            stage=screening.stage,
            done=screening.done,
            total=screening.total,
            seconds_left=None if left is None else round(left, 1),
        )
        return cls(
            id=screening.id,
            name=clean(screening.name),
            priority=screening.priority,
            status=screening.status,
            progress=progress if running else None,
            outcome=screening.outcome,
            fault=None if fault is None else FaultOut.of(fault),
            created_at=screening.created_at,
            finished_at=screening.finished_at,
            links=Links(
                self=here,
                report=f"{here}/report",
                findings=f"{here}/findings",
                certificate=f"{here}/certificate",
                events=f"{here}/events",
            ),
        )


class ScreeningPage(BaseModel):
    """Screenings, newest first; `next_cursor` is null on the last page."""

    data: list[ScreeningOut]
    next_cursor: str | None


class BatchLinks(BaseModel):
    """Where to go from here."""

    self: str
    screenings: str


class BatchOut(BaseModel):
    """A batch: one status, and one summary over its screenings."""

    id: str
    name: str
    status: BatchStatus = Field(description="finished: every screening of it is over.")
    outcome: OutcomeName | None = Field(
        description="The gravest, once finished; one that failed counts as REVIEW."
    )
    size: int = Field(description="Screenings asked for.")
    statuses: dict[Status, int] = Field(description="How many are how far.")
    outcomes: dict[OutcomeName, int]
    created_at: str
    cancelled_at: str | None
    screenings: list[str] = Field(description="Their ids, in the order asked for.")
    links: BatchLinks

    @classmethod
    def of(cls, batch: Batch, ids: list[str], root: str = "") -> "BatchOut":
        """Take it from the store; `root` is the path the app is mounted at."""
        return cls(
            id=batch.id,
            name=clean(batch.name),
            status=batch.status,
            outcome=batch.outcome,
            size=batch.size,
            statuses={s: batch.statuses.get(s, 0) for s in get_args(Status)},
            outcomes={o: batch.outcomes.get(o, 0) for o in get_args(OutcomeName)},
            created_at=batch.created_at,
            cancelled_at=batch.cancelled_at,
            screenings=ids,
            links=BatchLinks(
                self=f"{root}/v1/batches/{batch.id}",
                screenings=f"{root}/v1/screenings?batch={batch.id}",
            ),
        )


class BatchPage(BaseModel):
    """Batches, newest first; `next_cursor` is null on the last page."""

    data: list[BatchOut]
    next_cursor: str | None


class FindingPage(BaseModel):
    """Findings, by row; `next_cursor` is null on the last page."""

    data: list[FindingSection]
    total: int = Field(
        description="Findings that the report lists and that match the filter."
    )
    finding_count: int = Field(description="All findings there are, listed or not.")
    truncated: bool = Field(
        description="Whether the report lists only the highest of them."
    )
    next_cursor: str | None


class RowScores(BaseModel):
    """The scores of one row by detector; null where it could not be scored."""

    line: int
    scores: dict[str, float | None]


class ScanOut(BaseModel):
    """What the detectors alone say."""

    decision: DecisionSection
    dataset: DatasetSection
    scores: dict[str, DetectorSection]
    rows: list[RowScores]
    findings: list[FindingSection]
    policy: str = Field(description="Digest of the policy applied.")


class HealthOut(BaseModel):
    """The process answers."""

    status: str


class ReadyOut(BaseModel):
    """The models are loaded; `models` maps each to its version or digest."""

    status: str
    models: dict[str, str]


class ProblemOut(BaseModel):
    """An error, RFC 9457 (application/problem+json)."""

    type: str
    title: str
    status: int
    code: str = Field(description="Stable, for machines.")
    detail: str
    request_id: str | None = Field(
        default=None, description="Also the header X-Request-Id: name it when you ask."
    )
    errors: list[dict[str, str]] | None = None
