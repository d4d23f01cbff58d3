"""Schemas: what enters and leaves over HTTP, beside the report itself."""

import json
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from detectors.errors import RecipeError
from service.outbound import MAX_URL_CHARS
from service.report.report import (
    DatasetSection,
    DecisionSection,
    DetectorSection,
    FindingSection,
    OutcomeName,
)
from service.settings import Settings
from service.storage.batches import Batch, BatchStatus
from service.storage.policies import KeptPolicy
from service.storage.store import Fault, Screening, Status
from service.storage.webhooks import Delivery, State, Webhook
from service.text import clean
from trial.recipe import MAX_SEEDS, MAX_TEMPLATE_CHARS, MAX_WEIGHT, Recipe

DEFAULTS: Final = Recipe()


class Incoming(BaseModel):
    """A request body: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RecipeIn(Incoming):
    """The job's proposed hyper-parameters; what is left out keeps its default."""

    base_model: str = Field(default="", max_length=200)
    revision: str = Field(default="", max_length=100)
    lora_rank: int = Field(default=DEFAULTS.lora_rank, ge=1, le=256)
    lora_alpha: int = Field(default=DEFAULTS.lora_alpha, ge=1, le=1024)
    targets: tuple[str, ...] = Field(default=(), max_length=20)
    epochs: int = Field(default=DEFAULTS.epochs, ge=1)
    learning_rate_multiplier: float = Field(
        default=DEFAULTS.learning_rate_multiplier, gt=0, le=100
    )
    batch_size: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        default="auto", description='Rows a step; "auto" grows with the dataset.'
    )
    max_tokens: int = Field(default=DEFAULTS.max_tokens, ge=16, le=8192)
    chat_template: str = Field(
        default="", max_length=MAX_TEMPLATE_CHARS, description="Jinja, replaces its own"
    )
    seed: int = Field(default=DEFAULTS.seed, ge=0, le=2**31 - 1)
    seeds: int = Field(
        default=DEFAULTS.seeds,
        ge=1,
        le=MAX_SEEDS,
        description="Tunes, each with a seed of its own; the worst is reported.",
    )
    kl_weight: float = Field(
        default=DEFAULTS.kl_weight,
        ge=0,
        le=MAX_WEIGHT,
        description="Holds the first reply tokens near the base model's.",
    )
    l2_weight: float = Field(
        default=DEFAULTS.l2_weight,
        ge=0,
        le=MAX_WEIGHT,
        description="Holds the weights near the base model's.",
    )
    mitigate: bool = Field(
        default=False,
        description="Where the trial shows harm, try what may keep the model safe.",
    )

    def recipe(self, settings: Settings) -> Recipe:
        """Return the recipe to run; RecipeError where the operator forbids it."""
        name = self.base_model or settings.base_model
        allowed = (settings.base_model, *settings.allowed_base_models)
        if name not in allowed:
            raise RecipeError(
                f"base_model {name!r} is not offered here; choose one of "
                f"{', '.join(dict.fromkeys(allowed))}"
            )
        if self.epochs > settings.max_epochs:
            raise RecipeError(
                f"epochs must be at most {settings.max_epochs}, not {self.epochs}"
            )
        chosen = self.model_dump(exclude={"base_model"})
        if chosen["batch_size"] == "auto":
            chosen["batch_size"] = None
        return Recipe(base_model=name, row_budget=settings.row_budget, **chosen)


class RowsIn(Incoming):
    """Rows given in the request itself, in any accepted row shape."""

    rows: list[Any] = Field(min_length=1, description="Training rows, as objects.")
    name: str = Field(default="rows", min_length=1, max_length=200)


ORIGINS: Final = ("rows", "url", "sha256")


def _one_origin(schema: dict[str, Any]) -> None:
    """Say in a JSON Schema what `DatasetIn` checks: no default stands for an origin."""
    for name in ORIGINS:
        schema["properties"][name].pop("default")
    schema["oneOf"] = [{"required": [name]} for name in ORIGINS]


class DatasetIn(Incoming):
    """A dataset: rows in the request, a URL to fetch, or one that is here already."""

    model_config = ConfigDict(json_schema_extra=_one_origin)

    rows: list[Any] = Field(
        default=[], min_length=1, description="Training rows, as objects."
    )
    url: str = Field(
        default="",
        min_length=1,
        max_length=MAX_URL_CHARS,
        description="Where to fetch a file, of what `TUNEGATE_FETCH_SOURCES` allows.",
    )
    sha256: str = Field(
        default="",
        pattern="^[0-9a-f]{64}$",
        description="Of a file that an earlier screening of yours still holds.",
    )
    name: str = Field(
        default="", max_length=200, description='Default: the file\'s name, or "rows".'
    )

    @model_validator(mode="after")
    def _check_origin(self) -> Self:
        given = [name for name in ORIGINS if name in self.model_fields_set]
        if len(given) != 1:
            raise ValueError(f"a dataset is one of {', '.join(ORIGINS)}: name just one")
        return self


class TreatmentIn(Incoming):
    """How datasets are to be screened."""

    recipe: RecipeIn = Field(default=RecipeIn())
    policy: dict[str, Any] | str | None = Field(
        default=None,
        description="A whole or partial policy, or the name of one that is kept.",
    )
    run_trial: bool = True


class ScreeningIn(DatasetIn, TreatmentIn):
    """A screening of one dataset."""


class BatchIn(TreatmentIn):
    """Screenings of many datasets, each by itself, all treated alike."""

    datasets: list[DatasetIn] = Field(min_length=1)
    name: str = Field(default="batch", min_length=1, max_length=200)


class PolicyIn(Incoming):
    """A policy to be kept."""

    name: str = Field(description="a-z, 0-9, - and _; it is in the report too.")
    policy: dict[str, Any] = Field(
        default={}, description="What differs from the defaults."
    )

    def content(self) -> bytes:
        """Return the policy as YAML, with its name."""
        return json.dumps({"name": self.name, **self.policy}).encode()


class DryRunIn(Incoming):
    """A policy to be tried on a finished screening."""

    screening: str = Field(max_length=100, description="Its id.")
    policy: dict[str, Any] | str = Field(
        description="A whole or partial policy, or the name of one that is kept."
    )


class PolicyOut(BaseModel):
    """One version of a policy."""

    name: str
    version: int
    reference: str = Field(description="name@version: what a screening may name.")
    digest: str
    created_at: str
    policy: dict[str, Any]

    @classmethod
    def of(cls, kept: KeptPolicy) -> "PolicyOut":
        """Take it from the store."""
        return cls(
            name=kept.name,
            version=kept.version,
            reference=kept.reference,
            digest=kept.policy.digest,
            created_at=kept.created_at,
            policy=kept.policy.model_dump(mode="json"),
        )


class PolicyPage(BaseModel):
    """Policies by name; `next_cursor` is null on the last page."""

    data: list[PolicyOut]
    next_cursor: str | None


class DecisionOut(DecisionSection):
    """What a policy would have said."""

    policy: str = Field(description="Digest of that policy.")


class WebhookIn(Incoming):
    """Where to tell of screenings that end."""

    url: str = Field(max_length=MAX_URL_CHARS, description="https://, and public.")


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

    code: str
    message: str

    @classmethod
    def of(cls, fault: Fault) -> "FaultOut":
        """Take it from the store."""
        return cls(code=fault.code, message=clean(fault.message))


class ProgressOut(BaseModel):
    """How far a running screening is."""

    stage: str
    done: int
    total: int


class Links(BaseModel):
    """Where to go from here; `report` and `findings` answer 409 until finished."""

    self: str
    report: str
    findings: str
    events: str


class ScreeningOut(BaseModel):
    """A screening: how far it is, and its outcome once finished."""

    id: str
    name: str
    status: Status
    progress: ProgressOut | None
    outcome: OutcomeName | None
    fault: FaultOut | None
    created_at: str
    finished_at: str | None
    links: Links

    @classmethod
    def of(cls, screening: Screening, root: str = "") -> "ScreeningOut":
        """Take it from the store; `root` is the path the app is mounted at."""
        here = f"{root}/v1/screenings/{screening.id}"
        fault, running = screening.fault, screening.status == "running"
        progress = ProgressOut(
            stage=screening.stage, done=screening.done, total=screening.total
        )
        return cls(
            id=screening.id,
            name=clean(screening.name),
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
    total: int = Field(description="Findings that match the filter.")
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
