"""The settings as a table, for the docs: generated, so that it is never out of date."""

import json
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from service.asked_models import AskedModels
from service.settings import Settings

HEAD: Final = """# Settings

Every setting is an environment variable; any other `TUNEGATE_*` is an error, for it may
be a setting misspelt. Lists are JSON. Generated from
`service/settings.py` by `tunegate settings`.

| variable | default | what it is for |
|---|---|---|
"""


def settings_table() -> str:
    """Return the page of all settings, as Markdown."""
    fields = Settings.model_fields
    order = sorted(fields, key=lambda name: name in AskedModels.model_fields)
    lines = [_line(name, fields[name]) for name in order]
    return HEAD + "\n".join(lines) + "\n"


def _line(name: str, field: FieldInfo) -> str:
    words = f"{field.description or ''}{_bounds(field)}".replace("|", "\\|")
    return f"| `TUNEGATE_{name.upper()}` | {_default(field.default)} | {words} |"


def _default(value: Any) -> str:
    if isinstance(value, SecretStr | Path | None):
        return f"`{value}`" if value else "not set"
    if isinstance(value, tuple):
        return f"`{json.dumps(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value != "" else "not set"


def _bounds(field: FieldInfo) -> str:
    """Say what numbers are taken."""
    signs = {"ge": "at least", "gt": "over", "le": "at most", "lt": "under"}
    said = [
        f"{words} {getattr(rule, sign)}"
        for rule in field.metadata
        for sign, words in signs.items()
        if getattr(rule, sign, None) is not None
    ]
    return f" ({', '.join(said)})" if said else ""
