"""Tool definitions and calls, in one form whichever row shape they came from."""

from detectors.reading.fault import RowFault, shown
from detectors.reading.jsontext import canonical_json, parse_json_text, unescaped
from detectors.reading.limits import Limits
from detectors.reading.lookup import (
    Object,
    as_list,
    as_object,
    as_text,
    required,
    wrong_type,
)


def tools_beside(row: Object, limits: Limits) -> str:
    """Return the definitions under `tools`, or `functions` as they once were called."""
    told = {
        key: tools_text(row.get(key), key, limits) for key in ("tools", "functions")
    }
    if all(told.values()):
        expected = "tools or functions, not both"
        raise RowFault("ambiguous_field", "functions", expected, "both")
    return told["tools"] or told["functions"]


def tools_text(value: object, field: str, limits: Limits) -> str:
    """Return tool definitions as canonical JSON, given as JSON or as its text."""
    if isinstance(value, str):
        value = parse_json_text(value, limits, field) if value.strip() else None
    if value is None or value == [] or value == {}:
        return ""
    if not isinstance(value, list | dict):
        raise wrong_type(field, "a list of tool definitions", value)
    return canonical_json(value, field)


def calls_text(given: Object, field: str, limits: Limits) -> str:
    """Return the `tool_calls` of a message as canonical JSON, "" where it has none.

    A legacy `function_call` becomes a tool call. Arguments must be a JSON object or the
    text of one: what reads them next need not ask again.
    """
    calls: list[object] = []
    if given.get("tool_calls"):
        place = f"{field}.tool_calls"
        for index, item in enumerate(as_list(given["tool_calls"], place)):
            calls.append(_call(item, f"{place}[{index}]", limits))
    if given.get("function_call"):
        place = f"{field}.function_call"
        calls.append(function_call(given["function_call"], place, limits))
    return canonical_json(calls, field) if calls else ""


def function_call(value: object, field: str, limits: Limits) -> Object:
    """Return a bare `{name, arguments}` (or Gemini's `args`) as a tool call."""
    given = as_object(value, field)
    if "args" in given and "arguments" not in given:
        given["arguments"] = given.pop("args")
    return {"type": "function", "function": _function(given, field, limits)}


def _call(value: object, field: str, limits: Limits) -> Object:
    call = as_object(value, field)
    place = f"{field}.function"
    function = as_object(required(call, "function", field), place)
    return {**call, "function": _function(function, place, limits)}


def _function(function: Object, field: str, limits: Limits) -> Object:
    as_text(required(function, "name", field), f"{field}.name")
    arguments = function.get("arguments", "")
    if arguments in ("", {}):
        arguments = "{}"
    place = f"{field}.arguments"
    if not isinstance(arguments, str | dict):
        raise wrong_type(place, "an object or its JSON text", arguments)
    if isinstance(arguments, str):
        parsed = parse_json_text(arguments, limits, place)
        if not isinstance(parsed, dict):
            expected = "the JSON text of an object"
            raise RowFault("wrong_type", place, expected, shown(parsed))
        arguments = unescaped(arguments, parsed)
    return {**function, "arguments": arguments}
