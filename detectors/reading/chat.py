"""Conversations: OpenAI `messages`, and ShareGPT `conversations`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from detectors.dataset import Message, Role
from detectors.json_words import json_words
from detectors.reading.content import Content, read_content
from detectors.reading.draft import Draft, Messages, check_turn
from detectors.reading.fault import RowFault, shown
from detectors.reading.jsontext import canonical_json
from detectors.reading.limits import Limits
from detectors.reading.lookup import Object, as_list, as_object, as_text, required
from detectors.reading.toolcall import calls_text, tools_beside

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
_REASONING: Final = ("reasoning_content", "reasoning", "thinking", "tool_plan")
"""Learnt by trainers that know them and left out by others: read before the answer."""
_NAME_CHARS, _NAME_WORDS = 64, 4
"""Some templates write the name of a speaker out: a longer one would say something."""


def read_chat(row: Object, limits: Limits) -> Draft:
    """Read `{messages, system?, tools?, functions?}`; `system` comes first."""
    messages = read_system(row) + read_messages(row["messages"], "messages", limits)
    return Draft(messages, tools=tools_beside(row, limits), field="messages")


def read_sharegpt(row: Object, limits: Limits) -> Draft:
    """Read `{conversations: [{from, value}], system?, tools?}`; role/content too."""
    turns = as_list(row["conversations"], "conversations", "a list of turns")
    messages = tuple(
        _read_spoken(turn, f"conversations[{i}]", limits)
        for i, turn in enumerate(turns)
    )
    tools = tools_beside(row, limits)
    return Draft(read_system(row) + messages, tools=tools, field="conversations")


def read_system(row: Object) -> Messages:
    """Return what stands under `system` beside the conversation, as its own message.

    So does the text of `chat_template_kwargs`, which trainers hand to their template.
    """
    value = row.get("system", "")
    told = _template_text(row)
    system = (Message("system", told),) if told else ()
    if value in ("", []):
        return system
    said = read_content(value, "system")
    return (Message("system", said.text, unjudged_parts=said.unjudged), *system)


def _template_text(row: Object) -> str:
    """Return the strings for a chat template; RowFault where they replace it."""
    field = "chat_template_kwargs"
    given = as_object(row.get(field, {}), field)
    if "chat_template" in given:
        expected = "no template in a row: it would replace what the messages say"
        raise RowFault("unsupported_field", f"{field}.chat_template", expected)
    return json_words(canonical_json(given, field))


def read_messages(
    value: object, field: str, limits: Limits, expected: str = "a list of messages"
) -> Messages:
    """Read a list of messages that is not empty; `expected` as in `as_list`."""
    turns = as_list(value, field, expected)
    return tuple(
        read_message(turn, f"{field}[{i}]", limits) for i, turn in enumerate(turns)
    )


def read_message(value: object, field: str, limits: Limits) -> Message:
    """Read one message in the OpenAI form."""
    given = as_object(value, field)
    role = _role(required(given, "role", field), _ROLES, f"{field}.role")
    calls = calls_text(given, field, limits)
    _check_name(given.get("name"), f"{field}.name")
    thought = _reasoning(given, field)
    content = _content(given, field, optional=role == "assistant")
    message = Message(
        role,
        thought + content.text,
        calls,
        _trained(given, role, field),
        content.unjudged,
        len(thought),
    )
    check_turn(message, f"{field}.content")
    return message


def _read_spoken(value: object, field: str, limits: Limits) -> Message:
    given = as_object(value, field)
    if "from" not in given and "value" not in given:
        return read_message(given, field, limits)
    if "role" in given or "content" in given:
        expected = "either from and value, or role and content"
        raise RowFault("ambiguous_turn", field, expected, "both")
    role = _role(required(given, "from", field), _SPEAKERS, f"{field}.from")
    text = as_text(required(given, "value", field), f"{field}.value")
    calls = calls_text(given, field, limits)
    _check_name(given.get("name"), f"{field}.name")
    thought = _reasoning(given, field)
    trained = _trained(given, role, field)
    message = Message(role, thought + text, calls, trained, answer_at=len(thought))
    check_turn(message, f"{field}.value")
    return message


def _role(value: object, roles: Mapping[str, Role], field: str) -> Role:
    name = as_text(value, field)
    if name not in roles:
        expected = "one of " + ", ".join(roles)
        raise RowFault("wrong_role", field, expected, shown(name))
    return roles[name]


def _check_name(name: object, field: str) -> None:
    if not isinstance(name, str):
        return
    if len(name) > _NAME_CHARS or len(name.split()) > _NAME_WORDS:
        expected = f"a name of at most {_NAME_CHARS} characters and {_NAME_WORDS} words"
        raise RowFault("bad_name", field, expected, shown(name))


def _reasoning(given: Object, field: str) -> str:
    found = (key for key in _REASONING if given.get(key))
    return "".join(as_text(given[key], f"{field}.{key}") + "\n" for key in found)


def _content(given: Object, field: str, *, optional: bool) -> Content:
    found = Content()
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
