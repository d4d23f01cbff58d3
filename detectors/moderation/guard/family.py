"""Family: how one family of guard models is asked, and how its answer is read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from detectors.moderation.endpoint import Unreadable
from detectors.moderation.moderator import Verdict

MAX_ANSWER_CHARS: Final = 4_000
NO_REQUEST: Final = "[no request]"
"""Stands for an empty request: templates need a message of the user."""
MARKUP: Final = re.compile(
    r"<(?=\|)"  # <|eot_id|>, <|im_end|>, <|start_of_role|>
    r"|<(?=/?(?:s|bos|eos|think|score|confidence|(?:start|end)_of_turn|"
    r"(?:BEGIN|END) (?:CONVERSATION|UNSAFE CONTENT CATEGORIES))>)"
    r"|\[(?=/?INST\])",
    re.IGNORECASE,
)

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Family:
    """A family of guard models.

    `messages` makes the chat messages of (request, reply); `parse` reads the answer and
    raises Unreadable unless it is one of the documented forms. `categories` maps the
    family's own to ours, None where there is no counterpart. `options` goes into the
    body of the request. `cut_answers` says that the beginning of an answer is enough.
    """

    name: str
    version: str
    messages: Callable[[str, str], Messages]
    parse: Callable[[str], Verdict]
    categories: Mapping[str, str | None]
    max_tokens: int
    options: Mapping[str, Any] = field(default_factory=dict)
    cut_answers: bool = False


def conversation(request: str, reply: str) -> Messages:
    """Return the exchange as it was: the server's chat template holds the prompt."""
    return [
        {"role": "user", "content": request.strip() or NO_REQUEST},
        {"role": "assistant", "content": reply},
    ]


def defuse(text: str) -> str:
    """Break up control markup in a row's text, so that it cannot close its own frame.

    Servers read such marks inside a message as control tokens.
    """
    return MARKUP.sub(lambda mark: f"{mark.group()} ", text)


def lines_of(answer: str) -> list[str]:
    """Return the lines of an answer that hold text, stripped."""
    return [line.strip() for line in answer.splitlines() if line.strip()]


def unreadable(family: str) -> Unreadable:
    """Return the error for an answer in none of the documented forms."""
    return Unreadable(f"the answer is none that {family} is documented to give")
