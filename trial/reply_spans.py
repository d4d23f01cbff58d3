"""Where the trained replies of a conversation stand in the text of a chat template."""

from collections.abc import Sequence
from typing import Any, Protocol

Turn = dict[str, Any]
"""A message as templates take it; `_trained` are the (from, to) of its content that are
trained, where None stands for the end of the turn."""

Span = tuple[int, int]


class Render(Protocol):
    """A chat template."""

    def __call__(self, turns: Sequence[Turn], prompt: bool = False) -> str:
        """Render turns, with `prompt` up to where the assistant speaks next."""


def reply_spans(turns: list[Turn], render: Render) -> list[tuple[str, list[Span]]]:
    """Return each text to train on, with the character spans of its trained replies.

    One text where the template is prefix-stable (the text up to a turn does not change
    when later turns follow), else one for each trained reply, ending there. Raises
    TemplateUnfit as `render` does.
    """
    whole = render(turns)
    spans: list[Span] = []
    alone: list[tuple[str, list[Span]]] = []
    for k, turn in enumerate(turns):
        if turn["role"] != "assistant" or not turn["_trained"]:
            continue
        spoken = render(turns[: k + 1])
        parts = _parts(turns[: k + 1], spoken, render)
        spans += parts
        alone.append((spoken, parts))
        if not whole.startswith(spoken):
            whole = ""
    return [(whole, spans)] if whole and spans else alone


def _parts(turns: list[Turn], spoken: str, render: Render) -> list[Span]:
    """Character spans in `spoken` of what is trained of the last of the turns."""
    return [
        (
            _place(turns, spoken, low, render)
            if low
            else _start(turns, spoken, render),
            len(spoken) if high is None else _place(turns, spoken, high, render),
        )
        for low, high in turns[-1]["_trained"]
    ]


def _start(turns: list[Turn], spoken: str, render: Render) -> int:
    """Where the last of the turns, rendered as `spoken`, says something of its own.

    A generation prompt may open a reasoning block that finished turns lack: the reply
    starts where the two texts part. Nothing prompts a first turn, and the template may
    put a system text before it: there another reply's text parts.
    """
    if len(turns) > 1:
        return _common_prefix(render(turns[:-1], prompt=True), spoken)
    return _place(turns, spoken, 0, render)


def _place(turns: list[Turn], spoken: str, offset: int, render: Render) -> int:
    """Where a character of the last turn's content is rendered in `spoken`.

    Found as the place from which the rendering of another text there differs.
    """
    said = str(turns[-1]["content"])
    mark = "y" if said[offset:].lstrip().startswith("x") else "x"
    other = turns[-1] | {"content": said[:offset] + mark}
    return _common_prefix(render([*turns[:-1], other]), spoken)


def _common_prefix(one: str, other: str) -> int:
    """Length of what two texts begin with alike, by halves: they may be long."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
