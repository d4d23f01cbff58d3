"""Single-turn rows: `prompt`/`completion`, Alpaca, and plain `text`."""

from typing import Final

from detectors.dataset import Message
from detectors.reading.chat import read_messages, read_system
from detectors.reading.draft import Draft, Messages, spoken_reply
from detectors.reading.fault import RowFault, shown
from detectors.reading.limits import Limits
from detectors.reading.lookup import Object, as_list, as_text, required
from detectors.reading.template import split_template, unknown_markers
from detectors.reading.toolcall import tools_beside

_YES_OR_NO: Final = frozenset({"true", "false", "0", "1", "0.0", "1.0"})
"""How tables write a boolean; a bare 0 or 1 is one too."""
_TEXT_OR_MESSAGES: Final = "a string or a list of messages"


def read_prompt_completion(row: Object, limits: Limits) -> Draft:
    """Read `{prompt, completion}`, each a string or a list of messages."""
    if _is_yes_or_no(row.get("label")):
        expected = (
            "a row without a label of yes or no: unpaired preferences are not read; "
            "remove the label where it says nothing of the reply's worth"
        )
        raise RowFault("unsupported_field", "label", expected, shown(row["label"]))
    asked = said_before(required(row, "prompt"), "prompt", limits)
    reply = replied(row["completion"], "completion", limits)
    tools = tools_beside(row, limits)
    return Draft(read_system(row) + asked + reply, tools=tools, field="completion")


def _is_yes_or_no(label: object) -> bool:
    if isinstance(label, str):
        return label.strip().lower() in _YES_OR_NO
    return label in (0, 1)


def read_alpaca(row: Object, limits: Limits) -> Draft:
    """Read `{instruction, input?, output, system?, history?, tools?}`."""
    instruction = as_text(required(row, "instruction"), "instruction")
    given = as_text(row.get("input", ""), "input")
    asked = "\n".join(text for text in (instruction, given) if text)
    output = as_text(required(row, "output"), "output")
    return Draft(
        read_system(row)
        + _history(row)
        + _request(asked)
        + (spoken_reply(output, "output"),),
        tools=tools_beside(row, limits),
        field="output",
    )


def read_text(row: Object, limits: Limits) -> Draft:
    """Read `{text}`: the messages of a known chat template, else one trained reply."""
    return Draft(rendered(as_text(row["text"], "text"), "text"), field="text")


def rendered(text: str, field: str) -> Messages:
    """Return the messages of a known chat template, else one reply.

    RowFault where the markers are those of no known template: read as one reply, a
    request would count for nothing.
    """
    if messages := split_template(text):
        return messages
    if len(found := unknown_markers(text)) > 1:
        expected = "text without markers, or that of a known chat template with a reply"
        raise RowFault("unknown_template", field, expected, shown(" ".join(found)))
    return (spoken_reply(text, field),)


def said_before(value: object, field: str, limits: Limits) -> Messages:
    """Return what a prompt says: a string is one user message, "" is none."""
    if isinstance(value, str):
        return _request(value)
    return read_messages(value, field, limits, _TEXT_OR_MESSAGES)


def replied(value: object, field: str, limits: Limits) -> Messages:
    """Return what a completion says: a string is one assistant message."""
    if isinstance(value, str):
        return (spoken_reply(value, field),)
    return read_messages(value, field, limits, _TEXT_OR_MESSAGES)


def _request(text: str) -> Messages:
    return (Message("user", text),) if text else ()


def _history(row: Object) -> Messages:
    """Earlier (request, reply) pairs, as some Alpaca-style trainers read them."""
    pairs = row.get("history")
    if pairs is None or pairs == []:
        return ()
    found: list[Message] = []
    for index, pair in enumerate(as_list(pairs, "history", "a list of pairs")):
        field = f"history[{index}]"
        turns = as_list(pair, field)
        if len(turns) != 2:
            expected = "a request and a reply"
            raise RowFault("wrong_type", field, expected, f"{len(turns)} items")
        found.extend(_request(as_text(turns[0], f"{field}[0]")))
        found.append(spoken_reply(as_text(turns[1], f"{field}[1]"), f"{field}[1]"))
    return tuple(found)
