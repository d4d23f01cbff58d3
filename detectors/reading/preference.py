"""Preference rows: OpenAI's preferred/non-preferred, TRL's chosen/rejected."""

from detectors.reading.chat import read_messages, read_system
from detectors.reading.draft import Draft, Messages
from detectors.reading.fault import RowFault
from detectors.reading.instruction import rendered, replied, said_before
from detectors.reading.limits import Limits
from detectors.reading.lookup import Object, as_object, required
from detectors.reading.toolcall import tools_beside, tools_text


def read_openai_preference(row: Object, limits: Limits) -> Draft:
    """Read `{input: {messages, tools?}, preferred_output, non_preferred_output}`."""
    given = as_object(required(row, "input"), "input")
    asked = read_messages(
        required(given, "messages", "input"), "input.messages", limits
    )
    preferred = _output(row, "preferred_output", limits)
    rejected = _output(row, "non_preferred_output", limits)
    tools = tools_text(given.get("tools"), "input.tools", limits)
    return Draft(asked + preferred, rejected, tools, "preferred_output")


def read_trl_preference(row: Object, limits: Limits) -> Draft:
    """Read `{system?, prompt?, chosen, rejected}`, each a string or a list of messages.

    Where `chosen` and `rejected` repeat the prompt, or hold it alone, it is taken once:
    `rejected` of the draft keeps only what differs from the prompt. Without a prompt
    both may be transcripts ("Human: ... Assistant: ...").
    """
    asked = said_before(row["prompt"], "prompt", limits) if "prompt" in row else ()
    read = replied if asked else _transcript
    chosen = _without(asked, read(required(row, "chosen"), "chosen", limits))
    rejected = _without(asked, read(required(row, "rejected"), "rejected", limits))
    shared = _shared(chosen, rejected)
    _ends_with_reply(rejected, "rejected")
    tools = tools_beside(row, limits)
    asked = read_system(row) + asked
    return Draft(asked + chosen, rejected[shared:], tools, "chosen")


def _transcript(value: object, field: str, limits: Limits) -> Messages:
    if isinstance(value, str):
        return rendered(value, field)
    return replied(value, field, limits)


def _output(row: Object, key: str, limits: Limits) -> Messages:
    messages = read_messages(required(row, key), key, limits)
    _ends_with_reply(messages, key)
    return messages


def _ends_with_reply(messages: Messages, field: str) -> None:
    if messages[-1].role != "assistant":
        expected = "an assistant message at the end"
        found = f"role {messages[-1].role}"
        raise RowFault("ends_without_reply", field, expected, found)


def _without(prefix: Messages, messages: Messages) -> Messages:
    """Drop a repeated prompt; at least the last message stays."""
    if prefix and len(messages) > len(prefix) and messages[: len(prefix)] == prefix:
        return messages[len(prefix) :]
    return messages


def _shared(chosen: Messages, rejected: Messages) -> int:
    """How many leading messages both replies share; the last is never one of them."""
    count = 0
    for one, other in zip(chosen[:-1], rejected[:-1], strict=False):
        if one != other:
            break
        count += 1
    return count
