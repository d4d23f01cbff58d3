"""The definitions of a row's tools, in the one form that chat templates expect."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Tool = Mapping[str, Any]


def definitions(text: str) -> tuple[Tool, ...]:
    """Return `{"type": "function", "function": {...}}` of each tool a text defines.

    `text` is an example's `tools`, "" where it has none: a list, or one alone, of
    OpenAI's tools, of its bare functions of before, or of Gemini's
    `{"functionDeclarations": [...]}`. Others (as a web search of the provider's own)
    are no functions: a template could not say them, and they are left out.
    """
    if not text:
        return ()
    given = json.loads(text)
    return tuple(_tools(given if isinstance(given, list) else [given]))


def _tools(given: list[Any]) -> Iterator[Tool]:
    for each in given:
        if not isinstance(each, dict):
            continue
        declared = each.get("functionDeclarations", each.get("function_declarations"))
        if isinstance(declared, list):
            yield from _tools(declared)
            continue
        function = each.get("function", each)
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            yield {"type": "function", "function": _described(function)}


def _described(function: Tool) -> Tool:
    """Put in what most templates ask for unseen."""
    return {"description": "", "parameters": {"type": "object", "properties": {}}} | {
        key: value for key, value in function.items() if value is not None
    }
