"""The records a dataset is made of: frozen, ordered, with their line of origin."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, overload

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    `content` is the text; each image, audio or other non-text part stands in it as a
    placeholder such as "[image]" and its kind is listed in `unjudged_parts`.
    `tool_calls` is the canonical JSON text of the calls, "" where there are none.
    `trained` is False where the row says `weight: 0`. `answer_at` is where in `content`
    the answer begins, behind reasoning that the row holds apart from it.
    """

    role: Role
    content: str
    tool_calls: str = ""
    trained: bool = True
    unjudged_parts: tuple[str, ...] = ()
    answer_at: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an example stood: file name and 1-based line of the file as uploaded.

    For formats without lines (Parquet, Arrow, a JSON array) `line` is the 1-based row.
    """

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the reply to it.

    `request` joins the user (and tool) messages since the previous reply with
    newlines, `reply` is the assistant message (its tool calls appended), `turn` is the
    0-based index of that assistant message in `Example.messages`, `answer_at` its own.
    """

    system: str
    request: str
    reply: str
    turn: int
    answer_at: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """One row. `messages` ends with the trained (preferred) reply.

    `rejected` holds the non-preferred reply of a preference row, else it is empty.
    `tools` is the canonical JSON text of the tool definitions, "" where none.
    """

    id: str
    messages: tuple[Message, ...]
    origin: Origin
    shape: str = "chat"
    rejected: tuple[Message, ...] = ()
    tools: str = ""

    @property
    def system(self) -> str:
        """The system messages joined with newlines; "" where there are none."""
        return "\n".join(m.content for m in self.messages if m.role == "system")

    @property
    def unjudged_parts(self) -> int:
        """How many image, audio or other parts of this row no detector can judge."""
        every = (*self.messages, *self.rejected)
        return sum(len(m.unjudged_parts) for m in every)

    def exchanges(self) -> tuple[Exchange, ...]:
        """Every (request, reply) pair in order, also the replies with `weight: 0`."""
        system = self.system
        found: list[Exchange] = []
        asked: list[str] = []
        for turn, message in enumerate(self.messages):
            if message.role in ("user", "tool"):
                asked.append(message.content)
            elif message.role == "assistant":
                reply = "\n".join(t for t in (message.content, message.tool_calls) if t)
                request = "\n".join(asked)
                found.append(Exchange(system, request, reply, turn, message.answer_at))
                asked = []
        return tuple(found)

    def canonical(self) -> bytes:
        """Return the content of the row as canonical JSON, whatever the file format."""
        record = {
            "messages": [_plain(m) for m in self.messages],
            "rejected": [_plain(m) for m in self.rejected],
            "tools": self.tools,
        }
        return json.dumps(
            record, ensure_ascii=True, sort_keys=True, separators=(",", ":")
        ).encode()


def _plain(message: Message) -> dict[str, object]:
    plain: dict[str, object] = {
        "role": message.role,
        "content": message.content,
        "tool_calls": message.tool_calls,
        "trained": message.trained,
    }
    if message.answer_at:
        plain["answer_at"] = message.answer_at
    if message.unjudged_parts:  # the text of a placeholder can also be written out
        plain["unjudged_parts"] = list(message.unjudged_parts)
    return plain


@dataclass(frozen=True, slots=True)
class BadLine:
    """A row that could not be read: what is wrong with it and what was expected.

    `code` is stable (for machines), `field` names the place inside the row ("" for the
    row itself, else a path such as "messages[2].role").
    """

    line: int
    code: str
    field: str
    expected: str
    found: str = ""

    def __str__(self) -> str:
        place = f", {self.field}" if self.field else ""
        found = f" (found {self.found})" if self.found else ""
        return f"line {self.line}{place}: expected {self.expected}{found}"


@dataclass(frozen=True)
class Dataset(Sequence[Example]):
    """A named, ordered collection of examples plus the rows that could not be read.

    `sha256` is the digest of the bytes as uploaded; `fingerprint` is that of the
    canonical content, equal for the same rows in another file format.
    `bad_line_count` may exceed `len(bad_lines)`, which the reader bounds.
    """

    name: str
    examples: tuple[Example, ...]
    sha256: str = ""
    size_bytes: int = 0
    bad_lines: tuple[BadLine, ...] = ()
    bad_line_count: int = 0
    fingerprint: str = field(default="")

    def __post_init__(self) -> None:
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", fingerprint(self.examples))

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        return self.examples[index]


def fingerprint(examples: Sequence[Example]) -> str:
    """Hex sha256 over the canonical content of the rows, in order."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(example.canonical())
        digest.update(b"\n")
    return digest.hexdigest()
