"""The row shapes: which one a row has, and the checks that all of them share."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from detectors.dataset import Example, Message, Origin
from detectors.reading.chat import read_chat, read_sharegpt
from detectors.reading.draft import Draft, Messages
from detectors.reading.fault import RowFault, shown
from detectors.reading.gemini import read_gemini
from detectors.reading.instruction import (
    read_alpaca,
    read_prompt_completion,
    read_text,
)
from detectors.reading.limits import Limits
from detectors.reading.lookup import Object, as_object
from detectors.reading.preference import read_openai_preference, read_trl_preference

SHAPES: Final[Mapping[str, Callable[[Object, Limits], Draft]]] = MappingProxyType(
    {
        "chat": read_chat,
        "openai_preference": read_openai_preference,
        "trl_preference": read_trl_preference,
        "prompt_completion": read_prompt_completion,
        "alpaca": read_alpaca,
        "sharegpt": read_sharegpt,
        "gemini": read_gemini,
        "text": read_text,
    }
)
MARKERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "messages": "chat",
        "preferred_output": "openai_preference",
        "non_preferred_output": "openai_preference",
        "chosen": "trl_preference",
        "rejected": "trl_preference",
        "completion": "prompt_completion",
        "instruction": "alpaca",
        "output": "alpaca",
        "conversations": "sharegpt",
        "contents": "gemini",
        "text": "text",
    }
)
"""The field whose presence tells the shape."""

_MEDIA: Final[Mapping[str, str]] = MappingProxyType(
    {
        "image": "image",
        "images": "image",
        "audio": "audio",
        "audios": "audio",
        "video": "video",
        "videos": "video",
    }
)
"""Fields beside the conversation that hold what no detector here can judge."""

_TOKENS: Final = "input_ids"
"""Where a row has it, trainers learn these tokens and look at nothing else."""

COLUMNS: Final = frozenset(
    {
        *MARKERS,
        *_MEDIA,
        _TOKENS,
        "prompt",
        "input",
        "label",
        "system",
        "systemInstruction",
        "system_instruction",
        "history",
        "tools",
        "functions",
        "chat_template_kwargs",
    }
)
"""Every field that is read; others, such as ids and sources, are left alone."""

_KNOWN: Final = (
    "messages; input, preferred_output, non_preferred_output; prompt, chosen, "
    "rejected; prompt, completion; instruction, input, output; conversations; "
    "contents; or text"
)


def read_row(value: object, origin: Origin, limits: Limits) -> Example:
    """Turn one parsed row into an Example; RowFault where that cannot be done."""
    row = as_object(value, "")
    if _TOKENS in row:
        expected = "a row without tokens: trainers learn them in place of its text"
        raise RowFault("unsupported_field", _TOKENS, expected)
    shape = shape_of(row)
    draft = SHAPES[shape](row, limits)
    _check_replies(draft)
    return Example(
        id=f"{origin.file}:{origin.line}",
        messages=_with_media(row, draft.messages),
        origin=origin,
        shape=shape,
        rejected=draft.rejected,
        tools=draft.tools,
    )


def shape_of(row: Object) -> str:
    """Return the one shape that the fields of a row belong to.

    A row with the fields of two shapes is refused: which of them is trained on depends
    on the trainer, so screening either could miss the other.
    """
    marks = [key for key in MARKERS if key in row]
    shapes = {MARKERS[key] for key in marks}
    if not shapes:
        found = ", ".join(shown(key) for key in list(row)[:5]) or "no fields"
        expected = f"the fields of one shape: {_KNOWN}; rename yours"
        raise RowFault("unknown_shape", "", expected, found)
    if len(shapes) > 1:
        expected = "the fields of one shape; take those of the others out"
        by_shape = {
            shape: ", ".join(key for key in marks if MARKERS[key] == shape)
            for shape in sorted(shapes)
        }
        found = " and ".join(f"{said} ({shape})" for shape, said in by_shape.items())
        raise RowFault("ambiguous_shape", "", expected, found)
    return shapes.pop()


def _check_replies(draft: Draft) -> None:
    replies = [m for m in draft.messages if m.role == "assistant"]
    if not replies:
        expected = "at least one assistant message"
        raise RowFault("no_assistant", draft.field, expected)
    if draft.messages[-1].role != "assistant":
        found = f"role {draft.messages[-1].role}"
        expected = "an assistant message at the end"
        raise RowFault("ends_without_reply", draft.field, expected, found)
    if not any(reply.trained for reply in replies):
        expected = "at least one assistant message with weight 1"
        raise RowFault("nothing_trained", draft.field, expected)


def _with_media(row: Object, messages: Messages) -> Messages:
    """Add a placeholder for each image, audio or video named beside the messages."""
    missing: list[str] = []
    for key, kind in _MEDIA.items():
        value = row.get(key)
        beside = len(value) if isinstance(value, list) else int(bool(value))
        within = sum(m.unjudged_parts.count(kind) for m in messages)
        missing += [kind] * (beside - within - missing.count(kind))
    if not missing:
        return messages
    asked = [i for i, m in enumerate(messages) if m.role == "user"]
    at = asked[0] if asked else 0
    return (*messages[:at], _marked(messages[at], missing), *messages[at + 1 :])


def _marked(message: Message, kinds: list[str]) -> Message:
    marks = "".join(f"[{kind}]" for kind in kinds)
    return replace(
        message,
        content=f"{message.content}{marks}",
        unjudged_parts=(*message.unjudged_parts, *kinds),
    )
