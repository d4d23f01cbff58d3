"""Gemini rows: `{systemInstruction?, contents: [{role, parts}], tools?}`."""

from dataclasses import dataclass
from typing import Final

from detectors.dataset import Message, Role
from detectors.reading.content import Content, placeholder
from detectors.reading.draft import Draft, Messages, check_turn
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
from detectors.reading.toolcall import function_call, tools_text

_ROLES: Final[dict[str, Role]] = {
    "user": "user",
    "model": "assistant",
    "function": "tool",
    "system": "system",
}
_KINDS: Final = (
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
)


def read_gemini(row: Object, limits: Limits) -> Draft:
    """Read the turns; a function's response becomes a tool message."""
    turns = as_list(row["contents"], "contents", "a list of turns")
    messages = tuple(
        _read_turn(t, f"contents[{i}]", limits) for i, t in enumerate(turns)
    )
    if "systemInstruction" in row and "system_instruction" in row:
        expected = "one system instruction"
        raise RowFault("ambiguous_field", "system_instruction", expected, "two")
    system = _system(
        row.get("systemInstruction", row.get("system_instruction")), limits
    )
    tools = tools_text(row.get("tools"), "tools", limits)
    return Draft(system + messages, tools=tools, field="contents")


def _system(value: object, limits: Limits) -> Messages:
    if value is None:
        return ()
    field = "systemInstruction"
    if isinstance(value, str):
        return (Message("system", value),)
    if not isinstance(value, dict):
        raise wrong_type(field, "a string or an object with parts", value)
    content = _read_parts(as_object(value, field), field, limits).content
    return (Message("system", content.text, unjudged_parts=content.unjudged),)


def _read_turn(value: object, field: str, limits: Limits) -> Message:
    turn = as_object(value, field)
    name = as_text(required(turn, "role", field), f"{field}.role")
    if name not in _ROLES:
        expected = "one of " + ", ".join(_ROLES)
        raise RowFault("wrong_role", f"{field}.role", expected, shown(name))
    said = _read_parts(turn, field, limits)
    role: Role = "tool" if said.responded and name == "user" else _ROLES[name]
    message = Message(
        role,
        said.content.text,
        said.calls,
        unjudged_parts=said.content.unjudged,
        answer_at=said.thought if role == "assistant" else 0,
    )
    check_turn(message, f"{field}.parts")
    return message


@dataclass(frozen=True, slots=True)
class _Parts:
    """Content, canonical function calls, whether a function responded.

    What the model thought stands first in the content, up to `thought`.
    """

    content: Content
    calls: str
    responded: bool
    thought: int


def _read_parts(turn: Object, field: str, limits: Limits) -> _Parts:
    thought, content = Content(), Content()
    calls, responded = list[object](), False
    given = required(turn, "parts", field)
    parts = as_list(given, f"{field}.parts", "a list of parts")
    for index, item in enumerate(parts):
        place = f"{field}.parts[{index}]"
        part = as_object(item, place)
        kind, value = _kind(part, place)
        if kind == "functionCall":
            calls.append(function_call(value, f"{place}.{kind}", limits))
            continue
        said = _read_part(kind, value, f"{place}.{kind}")
        if _is_thought(part, place):
            thought += said + Content("\n")
        else:
            content += said
        responded = responded or kind == "functionResponse"
    called = canonical_json(calls, f"{field}.parts") if calls else ""
    return _Parts(thought + content, called, responded, len(thought.text))


def _is_thought(part: Object, field: str) -> bool:
    given = part.get("thought", False)
    if not isinstance(given, bool):
        raise RowFault("wrong_type", f"{field}.thought", "true or false", shown(given))
    return given


def _kind(part: Object, field: str) -> tuple[str, object]:
    camel: dict[str, object] = {}
    for key, value in part.items():
        name = _camel(key)
        if name in camel:
            expected = f"{name} once"
            raise RowFault("ambiguous_field", f"{field}.{name}", expected, "two")
        camel[name] = value
    found = [kind for kind in _KINDS if kind in camel]
    if len(found) != 1:
        expected = "a part with exactly one of " + ", ".join(_KINDS)
        raise RowFault("unknown_part", field, expected, " and ".join(found) or "none")
    return found[0], camel[found[0]]


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _read_part(kind: str, value: object, field: str) -> Content:
    if kind == "text":
        return Content(as_text(value, field))
    given = as_object(value, field)
    if kind == "functionResponse":
        return Content(canonical_json(given, field))
    if kind == "executableCode":
        return Content(as_text(required(given, "code", field), f"{field}.code"))
    if kind == "codeExecutionResult":
        return Content(as_text(given.get("output", ""), f"{field}.output"))
    mime = given.get("mimeType", given.get("mime_type", ""))
    family = as_text(mime, f"{field}.mimeType").split("/")[0]
    return placeholder(family if family in ("image", "audio", "video") else "file")
