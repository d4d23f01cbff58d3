"""All that a row says, and in which role: messages, tool calls, tool definitions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from detectors.dataset import Example
from detectors.json_words import DEFINITIONS, json_words

ROLES: Final = ("system", "user", "assistant")
CALL: Final = "tool call"


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
    if defined := json_words(example.tools):
        yield Spoken(None, "system", defined, DEFINITIONS)
    for turn, message in enumerate(example.messages):
        role = message.role if message.role in ROLES else "user"
        if message.content.strip():
            yield Spoken(turn, role, message.content)
        if called := json_words(message.tool_calls):
            yield Spoken(turn, role, called, CALL)
