"""A row with what it hides, and the same row as it reads once decoded."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from detectors.chunk import chunks
from detectors.dataset import Dataset, Example, Message
from detectors.decoding.cipher import read_ciphers
from detectors.decoding.codebook import (
    Codebook,
    find_codebook,
    most_used,
    words_in,
)
from detectors.decoding.hidden import Hidden
from detectors.decoding.language import Language
from detectors.decoding.search import search
from detectors.decoding.separated import UNREAD as SEPARATED
from detectors.decoding.unreadable import UNREAD
from detectors.json_words import DEFINITIONS, json_words

CIPHER: Final = "substitution cipher"
CIPHERED: Final[dict[str, str]] = {
    UNREAD: CIPHER,
    SEPARATED: f"{CIPHER} with separators",
}
MOST_CODEBOOKS: Final = 20
MOST_HELD: Final = 20
"""Codes of a row that are held against all of its text; one more counts as used."""
USED_HERE: Final = 2
USED_ELSEWHERE: Final = 3


@dataclass(frozen=True, slots=True)
class Found:
    """Something hidden in the message `turn` of a row."""

    turn: int
    hidden: Hidden


@dataclass(frozen=True, slots=True)
class Row:
    """A row, what it hides, and the codebook it states (at `turn`) or that it uses.

    In `example` the tool calls of a message stand at the end of its content too, and
    where `defined` a last message holds the strings of the tool definitions.
    """

    example: Example
    found: tuple[Found, ...] = ()
    codebook: Codebook | None = None
    turn: int | None = None
    defined: bool = False

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages that the row has itself."""
        every = self.example.messages
        return every[:-1] if self.defined else every

    def place(self, turn: int) -> str:
        """Say where something stands that was found in message `turn`."""
        if turn == len(self.messages):
            return f"the {DEFINITIONS}"
        return f"the {self.example.messages[turn].role} message"

    @property
    def readable(self) -> bool:
        """Whether something in it could be decoded."""
        return self.codebook is not None or any(f.hidden.readable for f in self.found)

    def plain(self) -> str:
        """Return the text of all messages without what is hidden in them."""
        found = self._by_turn()
        return "\n".join(
            _put(message.content, found.get(turn, ()), "")
            for turn, message in enumerate(self.example.messages)
        )

    def decoded(self) -> Example:
        """Return the row with all that could be decoded in its place.

        The tool definitions are its first system message, as a model is given them.
        """
        found = self._by_turn()
        messages = tuple(
            replace(
                message,
                content=self._read(message, turn, found.get(turn, ())),
                tool_calls="",
            )
            for turn, message in enumerate(self.example.messages)
        )
        if self.defined:
            messages = (messages[-1], *messages[:-1])
        return replace(self.example, messages=messages, tools="")

    def _by_turn(self) -> dict[int, list[Hidden]]:
        found: dict[int, list[Hidden]] = {}
        for each in self.found:
            found.setdefault(each.turn, []).append(each.hidden)
        return found

    def _read(self, message: Message, turn: int, found: Iterable[Hidden]) -> str:
        text = _put(message.content, found, None)
        if self.codebook is None:
            return text
        if turn != self.turn:
            return self.codebook.read(text)
        # The statement of the code is left out: it is no request.
        start, end = self.codebook.span
        return self.codebook.read(f"{text[:start]} {text[end:]}")


def _put(text: str, found: Iterable[Hidden], instead: str | None) -> str:
    """Replace what is hidden by `instead`, or where that is None by what it says."""
    parts, after = [], 0
    for hidden in found:
        if not (hidden.readable or instead is not None):
            continue
        if instead is not None and not hidden.whole:
            continue
        start, end = hidden.span
        parts += [text[after:start], hidden.text if instead is None else instead]
        after = end
    return "".join([*parts, text[after:]])


def read_rows(dataset: Dataset, language: Language, rows_at_once: int) -> list[Row]:
    """Search every message of a dataset, solve its ciphers, find its codebooks."""
    rows: list[Row] = []
    for _, examples in chunks(dataset, rows_at_once):
        rows += _search(examples, language)
    return with_codebooks(_solve(rows, language))


def _search(examples: Sequence[Example], language: Language) -> list[Row]:
    defined = [json_words(example.tools) for example in examples]
    pairs = zip(examples, defined, strict=True)
    examples = [with_tools(example, strings) for example, strings in pairs]
    places = [(i, t) for i, e in enumerate(examples) for t in range(len(e.messages))]
    texts = [examples[i].messages[t].content for i, t in places]
    found: list[list[Found]] = [[] for _ in examples]
    for (index, turn), each in zip(places, search(texts, language), strict=True):
        found[index] += [Found(turn, hidden) for hidden in each]
    return [
        Row(example, tuple(each), defined=bool(strings))
        for example, each, strings in zip(examples, found, defined, strict=True)
    ]


def with_tools(example: Example, definitions: str) -> Example:
    """Put tool calls at the end of each content, definitions in a message of theirs."""
    if not definitions and not any(m.tool_calls for m in example.messages):
        return example
    messages = tuple(
        replace(m, content=f"{m.content}\n{m.tool_calls}") if m.tool_calls else m
        for m in example.messages
    )
    if definitions:
        messages += (Message("system", definitions),)
    return replace(example, messages=messages)


def content_chars(message: Message) -> int:
    """How many characters the content had before the tool calls were put there."""
    extra = len(message.tool_calls) + 1 if message.tool_calls else 0
    return len(message.content) - extra


def _solve(rows: list[Row], language: Language) -> list[Row]:
    unread = {
        f.hidden.text for row in rows for f in row.found if f.hidden.kind in CIPHERED
    }
    read = read_ciphers(unread, language) if unread else {}
    if not read:
        return rows
    return [
        replace(row, found=tuple(_solved(f, read) for f in row.found)) for row in rows
    ]


def _solved(found: Found, read: dict[str, str]) -> Found:
    hidden = found.hidden
    if hidden.kind not in CIPHERED or hidden.text not in read:
        return found
    solved = replace(
        hidden, kind=CIPHERED[hidden.kind], text=read[hidden.text], readable=True
    )
    return replace(found, hidden=solved)


def with_codebooks(rows: list[Row]) -> list[Row]:
    """Note the codebook that a row states and uses, or one of other rows it uses."""
    stated = [_stated(row) for row in rows]
    books = Counter(
        tuple(sorted(r.codebook.words.items()))
        for r in stated
        if r.codebook and r.codebook.secret
    )
    order = sorted(books, key=lambda pairs: (-books[pairs], pairs))[:MOST_CODEBOOKS]
    shared = [Codebook(dict(pairs), (0, 0)) for pairs in order]
    return [row if row.codebook else _using(row, shared) for row in stated]


def _stated(row: Row) -> Row:
    """Note the first code that the row states and uses beside the statement."""
    texts = [message.content for message in row.example.messages]
    whole, held = Counter[str](), 0
    for turn, text in enumerate(texts):
        book = find_codebook(text)
        if book is None:
            continue
        start, end = book.span
        whole = whole or Counter(words_in("\n".join(texts)))
        if book.may_use(whole, Counter(words_in(text[start:end]))) < USED_HERE:
            continue
        held += 1
        rest = [*texts[:turn], text[:start], text[end:], *texts[turn + 1 :]]
        if held > MOST_HELD or book.used_in("\n".join(rest)) >= USED_HERE:
            return replace(row, codebook=book, turn=turn)
    return row


def _using(row: Row, books: Sequence[Codebook]) -> Row:
    if not books:
        return row
    text = "\n".join(m.content for m in row.example.messages)
    used, best = most_used(books, text)
    return replace(row, codebook=books[best]) if used >= USED_ELSEWHERE else row
