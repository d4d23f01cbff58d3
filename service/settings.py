"""Settings: what an operator chooses, from TUNEGATE_* environment variables."""

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from detectors.errors import InputError
from detectors.reader import Limits
from trial.recipe import CANARY


class Settings(BaseSettings):
    """Every setting of the service; each is the variable TUNEGATE_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix="TUNEGATE_", frozen=True, extra="forbid"
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on.")
    data_dir: Path = Field(
        default=Path("work-dir"), description="Where uploads and reports are kept."
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
        default=100, ge=1, description="Most rows of one POST /v1/scan."
    )
    max_queued: int = Field(
        default=16, ge=1, description="Screenings that may wait; further ones get 503."
    )
    max_kept: int = Field(
        default=1_000,
        ge=1,
        description="Screenings kept; the oldest finished go.",
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
    try:
        return Settings(**given)  # type: ignore[arg-type]  # validated just there
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = f"TUNEGATE_{'_'.join(map(str, first['loc'])).upper()}"
        raise InputError(f"setting {name}: {first['msg']}") from error
    except SettingsError as error:
        raise InputError(f"settings: {error}") from error
