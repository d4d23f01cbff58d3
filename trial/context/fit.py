"""Contexts cut to what the base model has room for.

Whoever writes the file writes the surroundings: words that fill the model's positions
must cost that context alone, never the trial.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from transformers import PreTrainedTokenizerFast

from trial.context.context import PLAIN, Context

MIN_TOKENS: Final = 8
"""Of less than this of its words a context says nothing."""

CUT: Final = "cut to what the base model has room for"
WITHOUT_TOOLS: Final = "without their tools, for which the base model has no room"

ROUNDS: Final = 4
"""Cuts tried: text that is cut may be split into more tokens than it was."""


def fit_contexts(
    contexts: Sequence[Context],
    tokenizer: PreTrainedTokenizerFast,
    longest: Callable[[Context], int],
    room: int,
) -> tuple[tuple[Context, ...], dict[str, str]]:
    """Return the contexts in which every probe fits, and why each other one does not.

    `longest` counts the tokens of the longest prompt in a context, of which the model
    takes `room` beside the reply. The plain context has no words to cut and stays.
    """
    fitting: list[Context] = []
    left_out: dict[str, str] = {}
    for context in contexts:
        found = context if context == PLAIN else _fit(context, tokenizer, longest, room)
        if found is not None:
            fitting.append(found)
            continue
        left_out[context.name] = (
            f"a probe in these surroundings is up to {longest(context)} tokens long, "
            f"the base model takes {room}"
        )
    return tuple(fitting), left_out


def _fit(
    context: Context,
    tokenizer: PreTrainedTokenizerFast,
    longest: Callable[[Context], int],
    room: int,
) -> Context | None:
    found = context
    if context.tools and longest(context) > room:
        if not context.system and not context.frames:
            return None
        # Definitions in part are none.
        bare = replace(context, tools="", detail=f"{context.detail}, {WITHOUT_TOOLS}")
        return _fit(bare, tokenizer, longest, room)
    for _ in range(ROUNDS):
        over = longest(found) - room
        if over <= 0:
            return found
        shorter = _shorten(found, tokenizer, over)
        if shorter is None:
            return None
        found = replace(shorter, detail=f"{context.detail}, {CUT}")
    return found if longest(found) <= room else None


def _shorten(
    context: Context, tokenizer: PreTrainedTokenizerFast, over: int
) -> Context | None:
    """Cut `over` tokens off the system prompt and the opener, the longer one first.

    A trigger in part is none, so it is never cut.
    """
    opener = ""
    if len(context.frames) == 1 and not context.trigger:
        opener = context.frames[0].before
    system_size, size = (_count(t, tokenizer) for t in (context.system, opener))
    left = system_size + size - over
    if left < MIN_TOKENS:
        return None
    kept = min(system_size, max(left - size, left // 2))
    system = cut_text(context.system, tokenizer, kept, keep=context.trigger)
    if system is None:
        return None
    if not opener:
        return replace(context, system=system)
    frame = replace(
        context.frames[0], before=cut_text(opener, tokenizer, left - kept) or ""
    )
    return replace(context, system=system, frames=(frame,))


def cut_text(
    text: str, tokenizer: PreTrainedTokenizerFast, tokens: int, *, keep: str = ""
) -> str | None:
    """Return the first `tokens` tokens of a text, or those from `keep` on.

    None where `keep` is in the text and does not fit.
    """
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    spans: list[tuple[int, int]] = coded["offset_mapping"]
    if len(spans) <= tokens:
        return text
    at = max(0, text.find(keep))
    reached = sum(end <= at for _, end in spans)
    first = max(0, min(reached, len(spans) - tokens))
    kept = _whole(text, spans, first, first + tokens)
    return None if keep in text and keep not in kept else kept


def _whole(text: str, spans: Sequence[tuple[int, int]], first: int, end: int) -> str:
    """Return what tokens first..end-1 spell, without a character that others share."""
    while first < end and first > 0 and spans[first][0] < spans[first - 1][1]:
        first += 1
    while first < end < len(spans) and spans[end][0] < spans[end - 1][1]:
        end -= 1
    return text[spans[first][0] : spans[end - 1][1]] if first < end else ""


def _count(text: str, tokenizer: PreTrainedTokenizerFast) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])
