"""Text that a chat template rendered -> the messages it was rendered from.

Each template is known by its markers. Every pattern takes a bounded number of
characters at a place, so that the time is linear in the text, however hostile.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby, islice, takewhile
from types import MappingProxyType
from typing import Final

from detectors.dataset import Message, Role
from detectors.reading.draft import Messages

_ROLES: Final[Mapping[str, Role]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("system", "developer", "[system_prompt]", "<<sys>>"), "system"
        ),
        **dict.fromkeys(
            ("user", "human", "prompter", "instruction", "input", "question"), "user"
        ),
        "q": "user",
        "a": "assistant",
        **dict.fromkeys(("[inst]", "<</sys>>", "[/system_prompt]"), "user"),
        **dict.fromkeys(("assistant", "model", "gpt", "bot"), "assistant"),
        **dict.fromkeys(
            ("response", "answer", "[/inst]", "chatbot", "assistant_tool_call"),
            "assistant",
        ),
        **dict.fromkeys(
            ("tool", "function", "ipython", "environment", "observation"), "tool"
        ),
        **dict.fromkeys(("functions", "tool_response"), "tool"),
        **dict.fromkeys(
            ("available_tools", "tools", "documents", "document"), "system"
        ),
    }
)
_NAMES: Final = (
    "(system|developer|user|human|prompter|assistant|model|gpt|bot|tool|function"
    "|ipython|environment|observation)"
)
_SPECIAL: Final = (
    re.compile(rf"<\|im_start\|>\s{{0,4}}{_NAMES}\b"),
    re.compile(rf"<\|start_header_id\|>\s{{0,4}}{_NAMES}\s{{0,4}}<\|end_header_id\|>"),
    re.compile(rf"<\|header_start\|>\s{{0,4}}{_NAMES}\s{{0,4}}<\|header_end\|>"),
    re.compile(rf"<start_of_turn>\s{{0,4}}{_NAMES}\b"),
    re.compile(rf"<[|\uff5c]{_NAMES}[|\uff5c]>", re.IGNORECASE),
    re.compile(r"(\[/?INST\]|<</?SYS>>|\[/?SYSTEM_PROMPT\])"),
    re.compile(
        r"<\|start\|>\s{0,4}(system|developer|user|assistant|tool|functions)\b[^<]{0,200}"
        r"(?:<\|channel\|>(?P<thought>\s{0,4}analysis\b)?[^<]{0,200})?"
        r"(?:<\|constrain\|>[^<]{0,80})?<\|message\|>"
    ),
    re.compile(
        r"<\|start_of_role\|>\s{0,4}(system|developer|user|available_tools|tools"
        r"|assistant_tool_call|assistant|documents?|tool_response|tool)\b[^<]{0,200}"
        r"<\|end_of_role\|>"
    ),
    re.compile(
        r"(?:<\|START_OF_TURN_TOKEN\|>\s{0,4})?"
        r"<\|(SYSTEM|USER|CHATBOT|TOOL)_TOKEN\|>"
    ),
)
"""Markers that no prose has: ChatML, Llama 3 and 4, Gemma, Zephyr and Phi, Llama 2,
gpt-oss (Harmony), Granite, Cohere.
"""
_PLAIN: Final = (
    re.compile(
        r"#{2,4}[ \t]{0,3}(system|instruction|input|question|human|user|response"
        r"|answer|assistant|gpt)[ \t]{0,3}(?::|$)",
        re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(r"(?<![^\s>])(SYSTEM|USER|ASSISTANT):"),
    re.compile(r"^[ \t]{0,3}(System|Human|User|Assistant):", re.MULTILINE),
    re.compile(r"^<(human|bot)>:", re.MULTILINE),
    re.compile(r"^[ \t]{0,3}(Question|Answer):", re.MULTILINE),
    re.compile(r"^[ \t]{0,3}(Q|A):", re.MULTILINE),
)
"""Markers that prose may have, too: Alpaca and "### Human", Vicuna, "Human:", "Q:"."""
_TOKENS: Final = (
    "<s>",
    "</s>",
    "<bos>",
    "<eos>",
    "<|im_end|>",
    "<|end|>",
    "<|eot|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<|return|>",
    "<|call|>",
    "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "<BOS_TOKEN>",
    "<EOS_TOKEN>",
    "<|END_OF_TURN_TOKEN|>",
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
)
"""What stands between turns and says nothing."""
_SIGNS: Final = ("<|", "<\uff5c", "<start_of_turn>", "[/INST]")
"""A text without any of these has no special marker of a reply."""
_ANY_MARKER: Final = re.compile(
    r"<[|\uff5c](?!fim_|repo_name|file_sep)[^\W\d][\w\u2581-]{0,40}[|\uff5c]>"
)
"""Those of code completion part no turns."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One turn: what it says, where in the text that begins, if it is reasoning."""

    role: Role
    text: str
    start: int
    thought: bool = False


def split_template(text: str) -> Messages:
    """Return the messages of a rendered text, none where it is not surely one.

    A special marker goes before a plain one, and the outermost of two before the
    other. Text before the first marker is the system's where the marker is plain (a
    preamble) and else the user's; what follows the last reply stays part of that
    reply, its markers included, so that nothing is lost.
    """
    special = _split(text, _SPECIAL, "user")
    if any(part.role == "assistant" for part in special):
        return _messages(text, special)
    plain = _split(text, _PLAIN, "system")
    roles = [part.role for part in plain]
    if "user" in roles and "assistant" in roles[roles.index("user") :]:
        return _messages(text, plain)
    return ()


def replies_within(text: str, role: Role) -> Iterator[tuple[str, str, int]]:
    """Yield (request, reply, where it begins) of the turns that special markers open.

    Tokenizers read markers inside of a message of `role` as markers. The request is
    what was said since the last reply, "" where that is nothing; with which an
    assistant's own text only goes on. Each template is looked for by itself.
    """
    if not any(sign in text for sign in _SIGNS):
        return
    first: Role = "assistant" if role == "assistant" else "user"
    for pattern in _SPECIAL:
        marks = list(pattern.finditer(text))
        asked: list[str] = []
        for part in _parts(text, marks, first) if marks else []:
            if part.role != "assistant":
                asked.append(part.text)
            else:
                if asked or first == "user":
                    yield "\n".join(asked), part.text, part.start
                asked = []


def unknown_markers(text: str) -> list[str]:
    """Return the first two markers like those of templates, tokens left out."""
    found = (mark[0] for mark in _ANY_MARKER.finditer(text))
    return list(islice((mark for mark in found if mark not in _TOKENS), 2))


def _split(
    text: str, patterns: tuple[re.Pattern[str], ...], before: Role
) -> list[_Part]:
    """Cut at the markers of the template that comes first and has a reply."""
    best: list[_Part] = []
    first = len(text)
    for pattern in patterns:
        marks = list(pattern.finditer(text))
        if marks and marks[0].start() < first:
            parts = _parts(text, marks, before)
            if any(part.role == "assistant" for part in parts):
                best, first = parts, marks[0].start()
    return best


def _parts(text: str, marks: list[re.Match[str]], before: Role) -> list[_Part]:
    """Return every turn that says something."""
    found = [_part(text, before, 0, marks[0].start())]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=True):
        part = _part(text, _ROLES[mark[1].lower()], mark.end(), end)
        found.append(replace(part, thought=bool(mark.groupdict().get("thought"))))
    return [part for part in found if part.text]


def _part(text: str, role: Role, start: int, end: int) -> _Part:
    """Cut without the blanks and tokens around it; copies nothing on the way."""
    while start < end:
        if text[start].isspace():
            start += 1
        elif text.startswith(_TOKENS, start, end):
            start = text.index(">", start) + 1
        else:
            break
    while start < end:
        if text[end - 1].isspace():
            end -= 1
        elif text.endswith(_TOKENS, start, end):
            end = text.rindex("<", start, end)
        else:
            break
    return _Part(role, text[start:end], start)


def _messages(text: str, parts: list[_Part]) -> Messages:
    last = max(i for i, part in enumerate(parts) if part.role == "assistant")
    if last < len(parts) - 1:
        rest = _part(text, "assistant", parts[last].start, len(text))
        parts = [*parts[:last], rest]
    turns = groupby(parts, key=lambda part: part.role)
    return tuple(_message(role, list(said)) for role, said in turns)


def _message(role: Role, parts: list[_Part]) -> Message:
    """Join the parts of one turn; the reasoning at its start is known as such."""
    thought = sum(len(p.text) + 1 for p in takewhile(lambda p: p.thought, parts))
    text = "\n".join(part.text for part in parts)
    return Message(role, text, answer_at=min(thought, len(text)))
