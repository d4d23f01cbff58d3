"""The words in the JSON text of tool calls and tool definitions."""

import json
from typing import Final

DEFINITIONS: Final = "tool definitions"
"""What evidence calls the place of words in the definitions."""
_TYPES: Final = frozenset(
    ("function", "object", "array", "string", "number", "integer", "boolean")
)
"""Words of the schema of a tool, which say nothing of what it does."""
_SENTENCE: Final = 3
"""Words from which a key is no name: it says something."""


def json_words(text: str) -> str:
    """Return the strings in canonical JSON text, a line each; "" where there are none.

    Of keys those of some words are strings, too. The reader bounds its nesting.
    """
    return _words(json.loads(text)) if text else ""


def tool_words(text: str) -> list[str]:
    """Return the words of each tool in canonical JSON text, and what stands beside.

    A tool is what has a name: read alone, and without the types of its parameters,
    none is lost among others.
    """
    found: list[str] = []
    beside: list[object] = []
    left: list[object] = [json.loads(text)] if text else []
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += reversed(value)
        elif not isinstance(value, dict):
            beside.append(value)
        elif isinstance(value.get("name"), str):
            found.append(_words(value, _TYPES))
        else:
            left += reversed(value.values())
            beside += [key for key in value if len(key.split()) >= _SENTENCE]
    return [words for words in (*found, _words(beside, _TYPES)) if words]


def _words(given: object, without: frozenset[str] = frozenset()) -> str:
    found: list[str] = []
    left = [given]
    while left:
        value = left.pop()
        if isinstance(value, str):
            found += [] if value in without else [value]
        elif isinstance(value, dict):
            for key, item in reversed(value.items()):
                left += [item, key] if len(key.split()) >= _SENTENCE else [item]
        elif isinstance(value, list):
            left += reversed(value)
    return "\n".join(found).strip()
