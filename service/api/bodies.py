"""Bodies: what enters over HTTP, checked."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from detectors.errors import RecipeError
from service.api.plain_text import EXPECTED, all_plain
from service.outbound import MAX_URL_CHARS
from service.settings import Settings
from service.storage.datasets import Upload
from service.storage.queue import NORMAL, Priority
from trial.recipe import MAX_SEEDS, MAX_TEMPLATE_CHARS, MAX_WEIGHT, Recipe

DEFAULTS: Final = Recipe()


class Incoming(BaseModel):
    """A request body: unknown keys, other types and text that is not plain are errors.

    Rows may hold any text: they go to the object store, and never to a database.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, strict=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _read_integer(cls, value: Any) -> Any:
        """Take 3.0 for 3, as JSON Schema does; neither "3" nor true is a number."""
        return int(value) if isinstance(value, float) and value.is_integer() else value

    @field_validator("*")
    @classmethod
    def _check_plain(cls, value: Any, field: ValidationInfo) -> Any:
        if field.field_name != "rows" and not all_plain(value):
            raise ValueError(EXPECTED)
        return value


class RecipeIn(Incoming):
    """The job's proposed hyper-parameters; what is left out keeps its default."""

    base_model: str = Field(default="", max_length=200)
    revision: str = Field(default="", max_length=100)
    lora_rank: int = Field(default=DEFAULTS.lora_rank, ge=1, le=256)
    lora_alpha: int = Field(default=DEFAULTS.lora_alpha, ge=1, le=1024)
    targets: tuple[str, ...] = Field(default=(), max_length=20, strict=False)
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
    quantization: Literal["", "8bit", "4bit"] = Field(
        default="", description="Bits of the frozen weights of a large base model."
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
        settings.check_epochs(self.epochs)
        chosen = self.model_dump(exclude={"base_model"})
        if chosen["batch_size"] == "auto":
            chosen["batch_size"] = None
        return Recipe(base_model=name, row_budget=settings.row_budget, **chosen)


class RowsIn(Incoming):
    """Rows given in the request itself, in any accepted row shape."""

    # As JSON texts once the body is read: see `rows.KeptRows`.
    rows: list[Any] = Field(min_length=1, description="Training rows, as objects.")
    name: str = Field(default="rows", min_length=1, max_length=200)


PRIORITY: Final = (
    "How soon, among those that wait; `high` is for tenants that the operator names."
)
ORIGINS: Final = ("rows", "url", "sha256")


def _one_origin(schema: dict[str, Any]) -> None:
    """Say in a JSON Schema what `DatasetIn` checks: no default stands for an origin."""
    for name in ORIGINS:
        schema["properties"][name].pop("default")
    schema["oneOf"] = [{"required": [name]} for name in ORIGINS]


def _stored(rows: object) -> Upload:
    """Check that the rows of a body were put in the store: see `rows.StoredRows`."""
    if isinstance(rows, Upload):
        return rows
    raise ValueError("expected a list of at least one row")


ROWS_SCHEMA: Final = {"type": "array", "items": {}, "minItems": 1}
RowsStored = Annotated[
    Upload | None, PlainValidator(_stored), WithJsonSchema(ROWS_SCHEMA)
]


class DatasetIn(Incoming):
    """A dataset: rows in the request, a URL to fetch, or one that is here already."""

    model_config = ConfigDict(json_schema_extra=_one_origin)

    rows: RowsStored = Field(default=None, description="Training rows, as objects.")
    url: str = Field(
        default="",
        min_length=1,
        max_length=MAX_URL_CHARS,
        description="Where to fetch a file, of what `TUNEGATE_FETCH_SOURCES` allows; "
        "forgotten once that is done.",
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
    priority: Priority = Field(default=NORMAL, description=PRIORITY)


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

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if self.policy.get("name", self.name) != self.name:
            raise ValueError("policy has another name inside: leave that one out")
        return self

    def content(self) -> dict[str, Any]:
        """Return the policy with its name."""
        return {"name": self.name, **self.policy}


class DryRunIn(Incoming):
    """A policy to be tried on a finished screening."""

    screening: str = Field(max_length=100, description="Its id.")
    policy: dict[str, Any] | str = Field(
        description="A whole or partial policy, or the name of one that is kept."
    )


class WebhookIn(Incoming):
    """Where to tell of screenings that end."""

    url: str = Field(max_length=MAX_URL_CHARS, description="https://, and public.")
