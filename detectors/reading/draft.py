"""What a row shape makes of a row, before the checks that all shapes share."""

from dataclasses import dataclass

from detectors.dataset import Message
from detectors.reading.fault import RowFault

Messages = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """Messages of a row as read; `field` is the list that the replies stood in."""

    messages: Messages
    rejected: Messages = ()
    tools: str = ""
    field: str = ""


def spoken_reply(text: str, field: str) -> Message:
    """Return an assistant message of plain text that must not be blank."""
    message = Message("assistant", text)
    check_turn(message, field)
    return message


def check_turn(message: Message, field: str) -> None:
    """RowFault where an assistant turn has neither text, tool calls nor other parts."""
    said = message.content.strip() or message.tool_calls or message.unjudged_parts
    if message.role == "assistant" and not said:
        expected = "a reply that is not empty"
        raise RowFault("empty_assistant", field, expected, "an empty reply")
