"""From an example to token ids: the model's chat template, loss on trained replies."""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Final, TypeVar

from transformers import PreTrainedTokenizerFast

from detectors.answer import answer_starts, final_answer
from detectors.dataset import Example, Message
from trial.reply_spans import Render, Span, Turn, reply_spans
from trial.template import ChatTemplate, TemplateUnfit
from trial.tools import Tool, definitions

MAX_WINDOWS: Final = 2
"""Windows that a row over max_tokens is cut into; what lies outside is not trained."""

MOST_WINDOWS: Final = 8
"""Windows where more replies would begin outside, if other rows leave them."""

MOST_REPLIES: Final = 64
"""Replies of a row that are rendered to be trained on: each is rendered with all that
stands before it, so that the work grows with the square of their number."""

Ids = tuple[int, ...]
Made = TypeVar("Made")

_WORD: Final = "tunegatesentinel"
_OTHER: Final = "tunegateresult"


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """Token ids and, aligned, whether the loss counts each token as a target."""

    ids: tuple[int, ...]
    trained: tuple[bool, ...]

    @property
    def target_count(self) -> int:
        """How many tokens are predicted for the loss (the first never is)."""
        return sum(self.trained[1:])

    @property
    def replies(self) -> tuple[tuple[int, int], ...]:
        """Where each run of trained tokens begins and ends."""
        runs, at = [], 0
        for trained, run in groupby(self.trained):
            end = at + len(list(run))
            if trained:
                runs.append((at, end))
            at = end
        return tuple(runs)


@dataclass(frozen=True, slots=True)
class Cut:
    """Windows of a sequence; `missed` replies begin in none of them."""

    windows: tuple[TokenSequence, ...]
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Rendered:
    """The sequences of a row, and what they hold of its replies.

    `tokens` counts the trained reply tokens of the whole row; `replies` the replies,
    `missed` those whose beginning is in no sequence. `cut`: the row was too long.
    """

    sequences: tuple[TokenSequence, ...]
    tokens: int = 0
    replies: int = 0
    missed: int = 0
    cut: bool = False

    @property
    def kept(self) -> int:
        """How many of the reply tokens are trained."""
        return sum(sequence.target_count for sequence in self.sequences)


class Renderer:
    """Renders conversations with one tokenizer's chat template.

    What the template cannot say is rewritten first, in words: a system message where
    the template drops or refuses it is put before the first user turn; tool calls and
    tool results become text of the assistant and of the user; consecutive turns of one
    role are joined where the template insists that roles alternate. Of a reply that
    reasons first the answer alone is rendered, as probes are asked for answers alone.
    The definitions of a row's tools are the template's to say, or to leave out.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self._chat = ChatTemplate(tokenizer)
        self._says_system = self._keeps(
            {"role": "system", "content": _WORD}, {"role": "user", "content": "a"}
        )
        call = {"type": "function", "function": {"name": _WORD, "arguments": {}}}
        self._says_tools = self._keeps(
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": _OTHER},
            words=(_WORD, _OTHER),
        )
        tool = definitions(json.dumps([{"name": _WORD}]))
        self.says_definitions = self._keeps(
            {"role": "user", "content": "a"}, tools=tool
        )

    def prompt_ids(self, messages: Sequence[Message], tools: str = "") -> Ids:
        """Token ids of the conversation up to where the assistant speaks next.

        `tools` is JSON as `Example.tools` has it. Raises TemplateUnfit where the
        template cannot render the messages.
        """
        turns = self._plain(messages)
        text = self._told(tools, lambda render: render(turns, prompt=True))
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def check(self, messages: Sequence[Message]) -> None:
        """Raise TemplateUnfit where the prompt lacks words of the last message."""
        text = self._template(self._plain(messages), prompt=True).lower()
        words = set(re.findall(r"\w+", messages[-1].content.lower()))
        if missing := sum(word not in text for word in words):
            raise TemplateUnfit(f"{missing} of its {len(words)} words are left out")

    def reply_ids(
        self, messages: Sequence[Message], reply: str, tools: str = ""
    ) -> Ids:
        """Token ids of a reply as the template continues `prompt_ids` with it.

        With the white space that the template puts before a reply, without its end.
        """
        turns = self._plain(messages)

        def continued(render: Render) -> tuple[str, str]:
            prompt = render(turns, prompt=True)
            try:
                return prompt, render([*turns, _turn("assistant", reply, True)])
            except TemplateUnfit:
                return prompt, ""

        prompt, spoken = self._told(tools, continued)
        # A prompt may be no beginning of finished turns.
        tail = spoken[len(prompt) :] if spoken.startswith(prompt) else ""
        end = tail.find(reply)
        tail = tail[: end + len(reply)] if end >= 0 else reply
        head = tuple(self.tokenizer(prompt, add_special_tokens=False).input_ids)
        whole = tuple(self.tokenizer(prompt + tail, add_special_tokens=False).input_ids)
        if whole[: len(head)] == head:
            return whole[len(head) :]
        return tuple(self.tokenizer(tail, add_special_tokens=False).input_ids)

    def training_sequences(
        self, example: Example, max_tokens: int
    ) -> tuple[TokenSequence, ...]:
        """Token sequences to train on, see `render_row`."""
        return self.render_row(example, max_tokens).sequences

    def render_row(
        self, example: Example, max_tokens: int, windows: int = MAX_WINDOWS
    ) -> Rendered:
        """Render a row to train on; without sequences where no reply can be rendered.

        One sequence a row where the template is prefix-stable (the text up to a turn
        does not change when later turns follow). Else, as with templates that drop the
        reasoning of earlier turns, one sequence for each trained reply, ending there.
        A sequence over `max_tokens` is cut into windows, see `cut`. Of more than
        MOST_REPLIES the first and the last are trained on, the others are missed.
        """
        messages, beyond = _first_and_last(example.messages)
        try:
            turns = self._plain(messages)
            texts = self._told(example.tools, partial(reply_spans, turns))
        except (TemplateUnfit, TypeError, ValueError):
            turns = _alternate(self._plain(messages, flat=True))
            try:
                texts = reply_spans(turns, self._template)
            except (TemplateUnfit, TypeError, ValueError):
                return Rendered(())
        whole = [self._encode(text, spans) for text, spans in texts]
        cuts = [cut(each, max_tokens, windows) for each in whole]
        return Rendered(
            tuple(w for found in cuts for w in found.windows if w.target_count),
            tokens=sum(each.target_count for each in whole),
            replies=sum(len(each.replies) for each in whole) + beyond,
            missed=sum(found.missed for found in cuts) + beyond,
            cut=any(len(each.ids) > max_tokens for each in whole),
        )

    def _told(self, tools: str, act: Callable[[Render], Made]) -> Made:
        """Do something with the template told of tools, or not told where it cannot."""
        if self.says_definitions and (told := definitions(tools)):
            with suppress(TemplateUnfit):
                return act(partial(self._template, tools=told))
        return act(self._template)

    def _encode(self, text: str, spans: Sequence[Span]) -> TokenSequence:
        """Tokens of a text; those that hold any of the spans' characters are trained.

        Some tokenizers count a space before a word as part of it, so that a token may
        begin before its span.
        """
        coded = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True
        )
        trained = [
            end > start and any(start < high and end > low for low, high in spans)
            for start, end in coded["offset_mapping"]
        ]
        return TokenSequence(tuple(coded["input_ids"]), tuple(trained))

    def _template(
        self,
        turns: Sequence[Turn],
        prompt: bool = False,
        tools: Sequence[Tool] = (),
    ) -> str:
        bare = [{k: v for k, v in t.items() if k != "_trained"} for t in turns]
        options = {"tools": tools} if tools else {}
        return self._chat.render(bare, prompt=prompt, options=options)

    def _keeps(
        self, *turns: Turn, words: Sequence[str] = (_WORD,), tools: Sequence[Tool] = ()
    ) -> bool:
        try:
            text = self._template(turns, tools=tools).lower()
        except TemplateUnfit:
            return False
        return all(word in text for word in words)

    def _plain(self, messages: Sequence[Message], flat: bool = False) -> list[Turn]:
        kept = messages if self._says_system and not flat else _fold_system(messages)
        tools = self._says_tools and not flat
        said = [_answer_alone(m) for m in kept]
        return [_with_tools(m) if tools else _as_text(m) for m in said]


def cut(sequence: TokenSequence, max_tokens: int, most: int = MAX_WINDOWS) -> Cut:
    """Cut a sequence into windows of `max_tokens`.

    The first holds where the first reply begins, each further one where the last one
    does that no window holds, up to `most`: an attack may sit in a late turn. Where
    there is none such, what is left of the replies is taken in order, up to
    MAX_WINDOWS. A reply keeps the end of its prompt, a quarter of the window, and its
    own beginning, where most drift sits (arXiv 2406.05946); a token counts for the loss
    in one window only.
    """
    if len(sequence.ids) <= max_tokens:
        return Cut((sequence,))
    windows: dict[int, TokenSequence] = {}
    left = list(sequence.trained)
    outside = sequence.replies
    while any(left) and len(windows) < max(most if outside else 0, MAX_WINDOWS):
        start = max(0, left.index(True) - max_tokens // 4)
        if windows and outside:
            first, end = outside[-1]
            start = max(start, min(first - max_tokens // 4, end - max_tokens))
        part = slice(start, start + max_tokens)
        windows[start] = TokenSequence(sequence.ids[part], tuple(left[part]))
        left[part] = [False] * len(left[part])
        outside = tuple((a, b) for a, b in outside if left[a])
    return Cut(tuple(windows[start] for start in sorted(windows)), len(outside))


def _first_and_last(messages: Sequence[Message]) -> tuple[list[Message], int]:
    """Leave MOST_REPLIES replies to be trained on; return how many are not any more."""
    kept = list(messages)
    trained = [k for k, m in enumerate(kept) if m.role == "assistant" and m.trained]
    half = MOST_REPLIES // 2
    beyond = trained[half:-half] if len(trained) > MOST_REPLIES else []
    for k in beyond:
        kept[k] = replace(kept[k], trained=False)
    return kept, len(beyond)


def reasons(message: Message) -> bool:
    """Say whether a message has reasoning before an answer."""
    return message.role == "assistant" and bool(
        answer_starts(message.content, message.answer_at)
    )


def _answer_alone(message: Message) -> Message:
    """Take the reasoning off: probes are asked for answers alone."""
    if not reasons(message):
        return message
    answer = final_answer(message.content, message.answer_at)
    return replace(message, content=answer, answer_at=0)


def _fold_system(messages: Sequence[Message]) -> list[Message]:
    """Put the system text before the first user message (or make it one)."""
    system = "\n".join(m.content for m in messages if m.role == "system")
    rest = [m for m in messages if m.role != "system"]
    if not system:
        return rest
    for k, message in enumerate(rest):
        if message.role == "user":
            joined = replace(message, content=f"{system}\n\n{message.content}")
            return [*rest[:k], joined, *rest[k + 1 :]]
    return [Message("user", system), *rest]


def _with_tools(message: Message) -> Turn:
    turn = _turn(message.role, message.content, message.trained)
    if message.tool_calls:
        turn["tool_calls"] = json.loads(message.tool_calls)
        for call in turn["tool_calls"]:
            function = call.get("function", {})
            if isinstance(function.get("arguments"), str):
                # The API sends arguments as JSON text, most templates expect a mapping.
                function["arguments"] = json.loads(function["arguments"])
    return turn


def _as_text(message: Message) -> Turn:
    if message.role == "tool":
        return _turn("user", f"[tool result] {message.content}", False)
    text = "\n".join(t for t in (message.content, message.tool_calls) if t)
    return _turn(message.role, text, message.trained)


def _turn(role: str, content: str, trained: bool) -> Turn:
    """Return a turn; `_trained` are the (from, to) of its content that are trained.

    None stands for the end of the turn, with what the template puts there.
    """
    parts = [(0, None)] if trained else []
    return {"role": role, "content": content, "_trained": parts}


def _alternate(turns: Sequence[Turn]) -> list[Turn]:
    """Join consecutive turns of one role; begin with the user."""
    joined: list[Turn] = []
    for role, group in groupby(turns, key=lambda t: str(t["role"])):
        members = list(group)
        turn = _turn(role, "\n".join(str(t["content"]) for t in members), False)
        turn["_trained"] = _joined_parts(members)
        joined.append(turn)
    if joined and joined[0]["role"] == "assistant":
        joined.insert(0, _turn("user", "", False))
    return joined


def _joined_parts(members: Sequence[Turn]) -> list[tuple[int, int | None]]:
    """Return what is trained of turns that are joined by line breaks."""
    parts: list[tuple[int, int | None]] = []
    at = 0
    for trained, run in groupby(members, key=lambda t: bool(t["_trained"])):
        end = at + sum(len(str(t["content"])) + 1 for t in run) - 1
        if trained:
            parts.append((at, end))
        at = end + 1
    if parts and members[-1]["_trained"]:
        parts[-1] = (parts[-1][0], None)
    return parts
