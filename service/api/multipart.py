"""Multipart forms as they arrive: small text fields, and files straight to the store.

Neither the request nor a file is ever whole in memory or on a local disk; what is held
is one block of `WRITE_BYTES`.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from anyio import CancelScope, to_thread
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from service.api.errors_http import Problem
from service.api.plain_text import check_plain
from service.policy import MAX_POLICY_BYTES
from service.storage.datasets import Datasets, Incoming, Upload
from service.text import clean

WRITE_BYTES: Final = 1024 * 1024
MAX_FIELD_BYTES: Final = 2 * MAX_POLICY_BYTES
FILE: Final = "file"
"""The name of the parts that hold datasets."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a form: the name that the customer gave it, and where it lies now."""

    filename: str
    upload: Upload


@dataclass(frozen=True, slots=True)
class Form:
    """What a form held: text by field, and files in their order."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[StoredFile] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Begin:
    """A part begins; `filename` is None where it is no file."""

    name: str
    filename: str | None


_Event = _Begin | bytes | None
"""A part begins, some of its content, its end."""


@asynccontextmanager
async def stored_form(
    request: Request, datasets: Datasets, *, fields: Collection[str], max_files: int
) -> AsyncIterator[Form]:
    """Read a form of those text fields and of files named `file`, and give it.

    400 where it is no form or breaks off, 422 where a part is not wanted or too large.
    Where that or what is done with it fails, the files are removed from the store.
    """
    reader = _Reader(datasets, fields, max_files)
    try:
        await reader.read(request)
        yield reader.form
    except BaseException:
        with CancelScope(shield=True):
            await to_thread.run_sync(reader.discard)
        raise


class _Reader:
    """Reads one form; `discard` removes what it has stored."""

    def __init__(
        self, datasets: Datasets, fields: Collection[str], max_files: int
    ) -> None:
        self.form = Form()
        self._datasets = datasets
        self._fields = fields
        self._max_files = max_files
        self._part = _Begin("", None)
        self._held = bytearray()
        self._incoming: Incoming | None = None

    async def read(self, request: Request) -> None:
        """Read the form to its end."""
        try:
            parser = _Parser(_boundary(request))
            async for block in request.stream():
                for event in parser.feed(block):
                    await self._take(event)
        except FormParserError as error:
            raise _broken("the form is not valid multipart/form-data") from error
        except ClientDisconnect as error:
            raise _broken("the connection ended before the form did") from error
        if not parser.ended:
            raise _broken("the form breaks off before its last boundary")

    def discard(self) -> None:
        """Remove from the store what came of the form so far."""
        if self._incoming is not None:
            self._incoming.abort()
        for file in self.form.files:
            self._datasets.discard(file.upload)

    async def _take(self, event: _Event) -> None:
        if isinstance(event, _Begin):
            self._check(event)
            self._part = event
            if event.filename is not None:
                self._incoming = await to_thread.run_sync(self._datasets.incoming)
        elif event is None:
            await self._end()
        else:
            self._held += event
            await self._relieve()

    def _check(self, part: _Begin) -> None:
        """Refuse a part that is not wanted, before any of its content is kept."""
        name, known = part.name, (FILE, *self._fields)
        if name not in known:
            said = f"{name[:60]!r} is no field; the fields are {', '.join(known)}"
        elif name != FILE and part.filename is not None:
            said = f"{name}: expected text, not a file: curl -F '{name}=<FILE' sends it"
        elif name == FILE and part.filename is None:
            said = "file: expected a file, not text"
        elif name in self.form.fields:
            said = f"{name}: it stands twice"
        elif name == FILE and len(self.form.files) >= self._max_files:
            said = f"file: at most {self._max_files} of them"
        else:
            return
        raise Problem(422, "invalid_request", said)

    async def _relieve(self) -> None:
        """Keep no more than one block, or one small field, in memory."""
        if self._incoming is None:
            if len(self._held) > MAX_FIELD_BYTES:
                said = f"{self._part.name}: over {MAX_FIELD_BYTES} bytes"
                raise Problem(422, "invalid_request", said)
        elif len(self._held) >= WRITE_BYTES:
            await self._write(self._incoming)

    async def _write(self, incoming: Incoming) -> None:
        block = bytes(self._held)
        self._held.clear()
        await to_thread.run_sync(incoming.write, block)

    async def _end(self) -> None:
        if self._incoming is None:
            self.form.fields[self._part.name] = _text(self._part.name, self._held)
            self._held.clear()
            return
        await self._write(self._incoming)
        upload = await to_thread.run_sync(self._incoming.close)
        self.form.files.append(StoredFile(self._part.filename or "", upload))
        self._incoming = None


class _Parser:
    """The callbacks of `python_multipart`, as a list of what each block held."""

    def __init__(self, boundary: bytes) -> None:
        self.ended = False
        self._events: list[_Event] = []
        self._header, self._value = b"", b""
        self._disposition = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._name_header,
                "on_header_value": self._fill_header,
                "on_header_end": self._end_header,
                "on_headers_finished": self._open,
                "on_part_data": self._add,
                "on_part_end": lambda: self._events.append(None),
                "on_end": self._end,
            },
        )

    def feed(self, block: bytes) -> list[_Event]:
        """Return what a block held; FormParserError where it is not a form's."""
        self._parser.write(block)
        found, self._events = self._events, []
        return found

    def _begin(self) -> None:
        self._disposition = b""

    def _name_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _fill_header(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _open(self) -> None:
        options = parse_options_header(self._disposition)[1]
        filename = options.get(b"filename")
        shown = None if filename is None else filename.decode("utf-8", "replace")
        self._events.append(_Begin(options.get(b"name", b"").decode("latin-1"), shown))

    def _add(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _end(self) -> None:
        self.ended = True


def _boundary(request: Request) -> bytes:
    options = parse_options_header(request.headers.get("content-type"))[1]
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise _broken("Content-Type names no boundary")
    return boundary


def _text(name: str, content: bytes | bytearray) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        said = f"{clean(name, 60)}: expected UTF-8"
        raise Problem(422, "invalid_request", said) from error
    check_plain(name, text)
    return text


def _broken(said: str) -> Problem:
    return Problem(400, "invalid_form", said, headers={"Connection": "close"})
