"""Settings: what an operator chooses, from TUNEGATE_* environment variables."""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict, SettingsError

from detectors.errors import InputError, RecipeError
from detectors.reader import Limits
from service.asked_models import AskedModels
from trial.recipe import CANARY

INGEST: Final = "ingest"
QUEUES: Final = (INGEST, "detect", "trial")
"""The kinds of work, each a queue: datasets that are to be fetched, detectors, and
trials (on a GPU if there is one)."""

SOURCE: Final = re.compile(
    r"https?://([a-z0-9.:-]+/(\S*/)?)?|(s3|gs|gcs|az|abfs)://[^/\s]+/(\S*/)?"
    r"|hf://datasets/(\S*/)?"
)
"""What the URL of a dataset may begin with: whole path segments, and of buckets one."""

PREFIX: Final = "TUNEGATE_"
OTHERS: Final = re.compile(
    r"CI|TEST_.*|(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_\d+_(TCP|UDP|SCTP)(_.*)?)"
)
"""What is no setting, behind the prefix: for our tests, and what Kubernetes tells every
container of a service whose name begins with ours."""


class Settings(AskedModels):
    """Every setting of the service; each is the variable TUNEGATE_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", validate_default=True
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on.")
    auth: Literal["open", "keys"] = Field(
        default="open",
        description="open: anyone may call, as the tenant `default`; keys: only with "
        "an API key (`tunegate keys`).",
    )
    oidc_issuer: str = Field(
        default="",
        description="OpenID Connect provider, as its tokens name it (`iss`): they then "
        "count beside our keys. Needs the extra `oidc`.",
    )
    oidc_audience: str = Field(
        default="", description="What tokens must be made out for (`aud`)."
    )
    oidc_jwks_url: str = Field(
        default="",
        description="Where the provider's public keys are; by its discovery document "
        "where not set.",
    )
    oidc_tenant_claim: str = Field(
        default="tenant", description="Claim of a token that names its tenant."
    )
    oidc_scope_claim: str = Field(
        default="scope", description="Claim of a token that lists its scopes."
    )
    oidc_scope_prefix: str = Field(
        default="", description="What stands before our scopes there, as `tunegate:`."
    )
    data_dir: Path = Field(
        default=Path("work-dir"), description="Where the database and files are kept."
    )
    database_url: str = Field(
        default="",
        description="postgresql://user@host/database; an SQLite file in `data_dir` "
        "where not set.",
    )
    storage_url: str = Field(
        default="",
        description="Folder or bucket (s3://, gs://, az://) for uploads and reports; "
        "`data_dir` where not set.",
    )
    encryption_keys: SecretStr = Field(
        default=SecretStr(""),
        description="Keys of 32 bytes in base64, by commas: the first encrypts "
        "uploads, checkpoints, reports and URLs that are still to be fetched, each "
        "decrypts; not set: in the clear.",
    )
    certificate_key: SecretStr = Field(
        default=SecretStr(""),
        description="Ed25519 private key that signs certificates, PEM or 32 random "
        "bytes in base64; workers need it; not set: they are not signed.",
    )
    queues: tuple[Literal["ingest", "detect", "trial"], ...] = Field(
        default=QUEUES,
        description="Work that this process does (JSON list); [] is HTTP alone.",
    )
    policy: Path | None = Field(
        default=None, description="Policy file; the default policy where not set."
    )
    encoder: str = Field(
        default="builtin",
        description="Embedding model; the heads fit the built-in one.",
    )
    base_model: str = Field(default=CANARY, description="Base model of a trial.")
    allowed_base_models: tuple[str, ...] = Field(
        default=(CANARY,),
        description="Base models a request may name, beside `base_model` (JSON list).",
    )
    run_trial: bool = Field(
        default=True, description="Run trials; without, most policies end in REVIEW."
    )
    row_budget: int = Field(
        default=1_000, ge=1, description="Most rows that a trial trains on."
    )
    max_epochs: int = Field(default=50, ge=1, description="Most epochs of a trial.")

    max_upload_bytes: int = Field(
        default=512 * 2**20, ge=1, description="Largest upload, in bytes."
    )
    max_json_bytes: int = Field(
        default=8 * 2**20, ge=1, description="Largest JSON body, in bytes."
    )
    max_rows: int = Field(default=1_000_000, ge=1, description="Most rows of a file.")
    max_row_chars: int = Field(
        default=1_000_000, ge=1, description="Most characters of a row."
    )
    scan_max_rows: int = Field(
        default=100,
        ge=0,
        description="Most rows of one POST /v1/scan; 0: no scans, and a process "
        "without queues then loads no models.",
    )
    requests_per_minute: int = Field(
        default=0,
        ge=0,
        description="Requests of a tenant to one API process in a minute; 0: no limit.",
    )
    max_requests_at_once: int = Field(
        default=256,
        ge=0,
        description="Requests that one API process takes in at once, streams apart; "
        "further ones get 503; 0: no limit.",
    )
    max_requests_per_tenant: int = Field(
        default=0,
        ge=0,
        description="Those of them that a tenant may have, where `auth` is keys; "
        "further ones get 429; 0: half.",
    )
    max_json_bytes_at_once: int = Field(
        default=32 * 2**20,
        ge=0,
        description="Bytes of JSON bodies that one API process reads at once, half of "
        "them a tenant's where `auth` is keys; further bodies wait unread for 5 "
        "seconds, then get 503 (429); 0: no limit.",
    )
    max_streams_per_tenant: int = Field(
        default=20,
        ge=0,
        description="Streams of events of a tenant in one API process; 0: no limit.",
    )
    wrong_keys_per_minute: int = Field(
        default=60,
        ge=0,
        description="Wrong keys from one address in a minute; 0: no limit. Behind a "
        "proxy set `trusted_proxies`, or all callers are one address.",
    )
    trusted_proxies: str = Field(
        default="127.0.0.1",
        description="Addresses and networks, by commas, whose X-Forwarded-For is "
        "believed; * for any.",
    )
    min_free_bytes: int = Field(
        default=2**30,
        ge=0,
        description="Disk that stays free where uploads are kept: with less, nothing "
        "is accepted (507); 0: no limit.",
    )
    max_trial_seconds: float = Field(
        default=0.0,
        ge=0,
        description="Longest trial, wall clock; one over it counts as not measured, "
        "for REVIEW; 0: no limit.",
    )
    max_queued: int = Field(
        default=16,
        ge=1,
        description="Screenings that may be open beside one; further ones get 503.",
    )
    max_queued_per_tenant: int = Field(
        default=0,
        ge=0,
        description="Screenings of a tenant that may be open; further ones get 429; "
        "0: as many as `max_queued`.",
    )
    max_running_per_tenant: int = Field(
        default=0,
        ge=0,
        description="Screenings of a tenant that all workers together work on at once, "
        "in each queue; 0: no limit. The others of it wait, and let others pass.",
    )
    high_priority_tenants: tuple[str, ...] = Field(
        default=("default",),
        description="Tenants that may ask for the priority `high` (JSON list), which "
        "goes before everyone's; others get 403.",
    )
    batch_max_datasets: int = Field(
        default=100, ge=1, description="Most datasets of one POST /v1/batches."
    )
    max_kept: int = Field(
        default=1_000,
        ge=1,
        description="Screenings of a tenant kept; the oldest finished go, a minute "
        "later at most.",
    )
    retention_days: int = Field(
        default=0,
        ge=0,
        description="Days after which one that ended is deleted; 0: no.",
    )
    timeout_seconds: float = Field(
        default=0.0,
        ge=0,
        description="Longest screening, from its start, a fetch apart; 0: no limit.",
    )
    lease_seconds: float = Field(
        default=15.0,
        gt=0,
        description="Silence after which a process is taken for dead.",
    )
    poll_seconds: float = Field(
        default=0.25, gt=0, description="Between two looks into the queues."
    )

    fetch_sources: tuple[str, ...] = Field(
        default=("https://",),
        description="What the URL of a dataset may begin with (JSON list): https://, "
        "http://, a host below them, s3://bucket/, gs://bucket/, az://container/, "
        "hf://datasets/; each ends with /, and {tenant} stands for the caller's. "
        "Buckets are read with the service's own rights. []: no URLs.",
    )
    fetch_seconds: float = Field(
        default=300.0,
        gt=0,
        description="Longest fetch of a dataset by URL, its repetitions included.",
    )
    fetch_at_once: int = Field(
        default=8,
        ge=1,
        description="Datasets that one process fetches at once.",
    )
    fetch_private: bool = Field(
        default=False, description="Fetch from addresses of our own network, too."
    )

    webhook_timeout_seconds: float = Field(
        default=15.0,
        gt=0,
        description="Longest attempt to tell a webhook, to the head of its answer.",
    )
    webhook_attempts_at_once: int = Field(
        default=16,
        ge=1,
        description="Webhooks that one process tells at once, two of a tenant.",
    )
    webhook_private: bool = Field(
        default=False,
        description="Let webhooks go to addresses of our own network, by HTTP too.",
    )

    log_format: Literal["text", "json"] = Field(
        default="text", description="How a line of the log is written."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="From which level on lines are written."
    )
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port for Prometheus alone, without a key, API and worker alike: "
        "for the inner network; 0: none.",
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="Address of `metrics_port`."
    )
    metrics_token: SecretStr = Field(
        default=SecretStr(""),
        description="Bearer token for /metrics beside the API; without, only a "
        "service that asks for no keys shows it there.",
    )
    otel_endpoint: str = Field(
        default="",
        description="OpenTelemetry collector (http://host:4318) that gets traces; "
        "none where not set. Needs the extra `otel`.",
    )
    ready_seconds: float = Field(
        default=3.0,
        gt=0,
        description="Longest that /readyz waits for the database and the storage.",
    )

    @field_validator("oidc_audience")
    @classmethod
    def _check_audience(cls, audience: str, given: ValidationInfo) -> str:
        if given.data.get("oidc_issuer") and not audience:
            raise ValueError("the issuer's tokens for others would count: name ours")
        return audience

    @field_validator("fetch_sources")
    @classmethod
    def _check_sources(
        cls, sources: tuple[str, ...], given: ValidationInfo
    ) -> tuple[str, ...]:
        own = str(given.data.get("storage_url", "")).rstrip("/") + "/"
        for each in sources:
            start = each.split("{tenant}")[0]
            if not SOURCE.fullmatch(each):
                raise ValueError(f"{each[:100]!r} is no place to fetch from")
            if own.startswith(start) or start.startswith(own):
                raise ValueError(f"{each[:100]!r} holds what the service itself keeps")
        return sources

    def check_epochs(self, epochs: int) -> None:
        """Raise RecipeError where a job has more epochs than a trial may have."""
        if epochs > self.max_epochs:
            raise RecipeError(
                f"epochs must be at most {self.max_epochs} (TUNEGATE_MAX_EPOCHS), "
                f"not {epochs}"
            )

    def limits(self) -> Limits:
        """Return the reader's limits."""
        return Limits(
            max_bytes=self.max_upload_bytes,
            max_rows=self.max_rows,
            max_row_chars=self.max_row_chars,
        )


def load_settings(**given: object) -> Settings:
    """Read the settings; InputError naming the variable where one is wrong."""
    _check_names(os.environ)
    try:
        return Settings(**given)  # type: ignore[arg-type]  # validated just there
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = f"{PREFIX}{'_'.join(map(str, first['loc'])).upper()}"
        raise InputError(f"setting {name}: {first['msg']}") from error
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        name = f"{PREFIX}{field[1].upper()}" if field else "settings"
        raise InputError(
            f'setting {name}: expected JSON, for a list as in ["one", "two"]'
        ) from error


def _check_names(environment: Mapping[str, str]) -> None:
    """InputError where a variable is no setting: misspelt, it would be without effect.

    Of `TUNEGATE_..._PORT` Kubernetes makes an address (tcp://...): that is not meant.
    """
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    said = []
    for name in sorted(map(str.upper, environment)):
        own = name.removeprefix(PREFIX)
        if own == name or name in known or OTHERS.fullmatch(own):
            continue
        if own.endswith("_PORT") and "://" in environment.get(name, ""):
            continue
        near = get_close_matches(name, known, 1, 0.0)[0]
        said.append(
            f"setting {name}: there is none of this name; the nearest is {near}"
        )
    if said:
        raise InputError("; ".join(said))
