"""All that a row says, and in which role: messages, tool calls, tool definitions."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from detectors.dataset import Example

ROLES: Final = ("system", "user", "assistant")
CALL: Final = "tool call"
DEFINITIONS: Final = "tool definitions"


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text of message `turn` (None: of the row); one of an unknown role is a user's.

    `place` is "" for the content of a message, else CALL or DEFINITIONS.
    """

    turn: int | None
    role: str
    text: str
    place: str = ""


def spoken(example: Example) -> Iterator[Spoken]:
    """Yield every text of a row that has one, in order.

    A model is trained on its calls, and is given the definitions of its tools as it is
    given a system prompt.
    """
    if defined := _strings(example.tools):
        yield Spoken(None, "system", defined, DEFINITIONS)
    for turn, message in enumerate(example.messages):
        role = message.role if message.role in ROLES else "user"
        if message.content.strip():
            yield Spoken(turn, role, message.content)
        if called := _strings(message.tool_calls):
            yield Spoken(turn, role, called, CALL)


def _strings(text: str) -> str:
    """Return the strings in canonical JSON text, a line each; "" where there are none.

    The reader bounds its nesting.
    """
    found: list[str] = []
    left: list[object] = [json.loads(text)] if text else []
    while left:
        value = left.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            left += reversed(value.values())
        elif isinstance(value, list):
            left += reversed(value)
    return "\n".join(found).strip()
