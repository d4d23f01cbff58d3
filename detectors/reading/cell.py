"""Table cells that hold JSON: lists and objects written as text into a column."""

from typing import Final

from detectors.reading.jsontext import parse_json_text
from detectors.reading.limits import Limits

JSON_COLUMNS: Final = frozenset(
    {
        "messages",
        "conversations",
        "contents",
        "preferred_output",
        "non_preferred_output",
        "systemInstruction",
        "system_instruction",
        "tools",
        "functions",
        "chat_template_kwargs",
        "history",
    }
)
"""Columns that are never plain text; `input` is, unless the row is a preference."""


def with_json_cells(row: dict[str, object], limits: Limits) -> dict[str, object]:
    """Parse the cells that must be JSON; RowFault naming the column where one is not.

    Plain columns such as `prompt` stay text even where they look like JSON: that is how
    a trainer reads them. A blank cell of a JSON column counts as absent.
    """
    columns = JSON_COLUMNS | ({"input"} if "preferred_output" in row else set())
    return {
        name: _parsed(value, name, limits) if name in columns else value
        for name, value in row.items()
    }


def _parsed(value: object, column: str, limits: Limits) -> object:
    if not isinstance(value, str):
        return value
    return parse_json_text(value, limits, column) if value.strip() else None
