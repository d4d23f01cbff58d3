"""Where the answer of a reply begins, behind the reasoning that stands before it.

Some trainers leave reasoning out and some learn it, so what is said there must not
speak for the answer.
"""

import re
from typing import Final

_NAMES: Final = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reasoning|reflection|scratchpad)"
_MARK: Final = (
    rf"(?:<{_NAMES}>|\[THINK\]|<\|START_THINKING\|>|<\|begin_of_thought\|>"
    r"|\u25c1think\u25b7|(?:<\|start\|>\s{0,4}assistant\s{0,4})?<\|channel\|>\s{0,4}"
    r"(?:analysis|commentary)\b[^<]{0,200}<\|message\|>)\s*"
)
_OPENED: Final = re.compile(rf"\s*{_MARK}", re.IGNORECASE)
_OPENED_LAST: Final = re.compile(rf"{_MARK}\Z", re.IGNORECASE)
_CLOSED: Final = re.compile(
    rf"</{_NAMES}>|\[/THINK\]|<\|END_THINKING\|>|<\|end_of_thought\|>"
    r"|\u25c1/think\u25b7|<\|channel\|>\s{0,4}final\b[^<]{0,200}<\|message\|>",
    re.IGNORECASE,
)
"""DeepSeek and Qwen, Magistral, Cohere, OpenThoughts, Kimi, gpt-oss."""
_BLANK_LINE: Final = re.compile(r"\n[ \t\r]*\n\s*")


def answer_starts(reply: str, answer_at: int = 0) -> tuple[int, ...]:
    """Return where in a reply an answer may begin, in order; () where it has no other.

    `answer_at` is the end of what the row holds as reasoning. Blocks may be closed
    twice, and templates differ in which of them counts: it is both. A block that is
    left open may end at its first blank line.
    """
    closed = [mark.end() for mark in _CLOSED.finditer(reply, answer_at)]
    found = {answer_at, *closed[:1], *closed[-1:]}
    if not closed:
        found.add(_behind_open_block(reply, answer_at))
    return tuple(sorted(at for at in found if at > 0 and reply[at:].strip()))


def final_answer(reply: str, answer_at: int = 0) -> str:
    """Return what stands behind all reasoning; the reply where it has none."""
    starts = answer_starts(reply, answer_at)
    return reply[starts[-1] :] if starts else reply


def is_unfinished(reply: str) -> bool:
    """Say whether a reply opens a block of reasoning and ends inside it."""
    opened = _OPENED.match(reply)
    return opened is not None and _CLOSED.search(reply, opened.end()) is None


def without_open_block(prompt: str) -> str:
    """Cut off the beginning of a block of reasoning where a prompt ends with one."""
    return _OPENED_LAST.sub("", prompt)


def _behind_open_block(reply: str, start: int) -> int:
    opened = _OPENED.match(reply, start)
    if opened is None:
        return start
    blank = _BLANK_LINE.search(reply, opened.end())
    return blank.end() if blank else opened.end()
