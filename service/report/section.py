"""Section: the base of every part of a report, and its kinds of value."""

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from service.text import clean

MAX_TEXT_CHARS: Final = 1_000


def _bounded(value: object) -> object:
    return clean(value, MAX_TEXT_CHARS) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_bounded)]
"""Text that may be hostile: valid Unicode and bounded."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A part of the report: frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
