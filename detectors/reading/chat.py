"""Conversations: OpenAI `messages`, and ShareGPT `conversations`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from detectors.dataset import Message, Role
from detectors.reading.content import Content, read_content
from detectors.reading.draft import Draft, Messages, check_turn, tools_text
from detectors.reading.fault import RowFault, shown
from detectors.reading.jsontext import canonical_json
from detectors.reading.limits import Limits
from detectors.reading.lookup import (
    Object,
    as_list,
    as_object,
    as_text,
    required,
    wrong_type,
)

_ROLES: Final[Mapping[str, Role]] = MappingProxyType(
    {
        "system": "system",
        "developer": "system",
        "user": "user",
        "assistant": "assistant",
        "tool": "tool",
        "function": "tool",
    }
)
_SPEAKERS: Final[Mapping[str, Role]] = MappingProxyType(
    {
        "system": "system",
        "human": "user",
        "user": "user",
        "gpt": "assistant",
        "chatgpt": "assistant",
        "assistant": "assistant",
        "model": "assistant",
        "bot": "assistant",
        "function_call": "assistant",
        "tool": "tool",
        "function": "tool",
        "function_response": "tool",
        "observation": "tool",
    }
)
_REASONING: Final = ("reasoning_content", "reasoning", "thinking")
"""Trained on by trainers that know them, so they belong to the reply that is read."""


def read_chat(row: Object, limits: Limits) -> Draft:
    """Read `{messages, tools?, functions?}`."""
    messages = read_messages(row["messages"], "messages")
    return Draft(messages, tools=_tools(row, limits), field="messages")


def read_sharegpt(row: Object, limits: Limits) -> Draft:
    """Read `{conversations: [{from, value}], system?, tools?}`; role/content too."""
    turns = as_list(row["conversations"], "conversations")
    messages = tuple(
        _read_spoken(turn, f"conversations[{i}]") for i, turn in enumerate(turns)
    )
    system = _system(row.get("system"))
    return Draft(system + messages, tools=_tools(row, limits), field="conversations")


def read_messages(value: object, field: str) -> Messages:
    """Read a list of messages that is not empty."""
    turns = as_list(value, field)
    return tuple(read_message(turn, f"{field}[{i}]") for i, turn in enumerate(turns))


def read_message(value: object, field: str) -> Message:
    """Read one message in the OpenAI form."""
    given = as_object(value, field)
    role = _role(required(given, "role", field), _ROLES, f"{field}.role")
    calls = _tool_calls(given, field)
    content = _content(given, field, optional=role == "assistant")
    message = Message(
        role, content.text, calls, _trained(given, role, field), content.unjudged
    )
    check_turn(message, f"{field}.content")
    return message


def _read_spoken(value: object, field: str) -> Message:
    given = as_object(value, field)
    if "from" not in given and "value" not in given:
        return read_message(given, field)
    if "role" in given or "content" in given:
        expected = "either from and value, or role and content"
        raise RowFault("ambiguous_turn", field, expected, "both")
    role = _role(required(given, "from", field), _SPEAKERS, f"{field}.from")
    text = as_text(required(given, "value", field), f"{field}.value")
    message = Message(role, text, trained=_trained(given, role, field))
    check_turn(message, f"{field}.value")
    return message


def _role(value: object, roles: Mapping[str, Role], field: str) -> Role:
    name = as_text(value, field)
    if name not in roles:
        expected = "one of " + ", ".join(roles)
        raise RowFault("wrong_role", field, expected, shown(name))
    return roles[name]


def _content(given: Object, field: str, *, optional: bool) -> Content:
    found = Content()
    for key in _REASONING:
        if given.get(key):
            found += Content(as_text(given[key], f"{field}.{key}") + "\n")
    if "content" in given:
        found += read_content(given["content"], f"{field}.content")
    elif not optional:
        required(given, "content", field)
    if given.get("refusal"):
        found += Content(as_text(given["refusal"], f"{field}.refusal"))
    if given.get("audio"):
        found += Content("[audio]", ("audio",))
    return found


def _trained(given: Object, role: Role, field: str) -> bool:
    weight = given.get("weight", 1)
    if isinstance(weight, bool) or weight not in (0, 1):
        raise RowFault("bad_weight", f"{field}.weight", "0 or 1", shown(weight))
    if "weight" in given and role != "assistant":
        expected = "a weight on assistant messages only"
        raise RowFault("bad_weight", f"{field}.weight", expected, f"role {role}")
    return weight == 1


def _tool_calls(given: Object, field: str) -> str:
    calls: list[object] = []
    if given.get("tool_calls"):
        for index, call in enumerate(
            as_list(given["tool_calls"], f"{field}.tool_calls")
        ):
            calls.append(_checked_call(call, f"{field}.tool_calls[{index}]"))
    if given.get("function_call"):
        place = f"{field}.function_call"
        calls.append(_checked_function(given["function_call"], place))
    return canonical_json(calls, f"{field}.tool_calls") if calls else ""


def _checked_call(value: object, field: str) -> Object:
    call = as_object(value, field)
    _checked_function(required(call, "function", field), f"{field}.function")
    return call


def _checked_function(value: object, field: str) -> Object:
    function = as_object(value, field)
    as_text(required(function, "name", field), f"{field}.name")
    arguments = function.get("arguments", "")
    if not isinstance(arguments, str | dict):
        raise wrong_type(f"{field}.arguments", "a string or an object", arguments)
    return function


def _tools(row: Object, limits: Limits) -> str:
    key = "functions" if "functions" in row and "tools" not in row else "tools"
    return tools_text(row.get(key), key, limits)


def _system(value: object) -> Messages:
    text = as_text(value, "system") if value is not None else ""
    return (Message("system", text),) if text else ()
