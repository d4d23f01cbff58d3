"""A JSON array of rows, split while it streams: the whole is never in memory."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from detectors.dataset import BadLine
from detectors.reading.bytestream import StreamFault
from detectors.reading.fault import RowFault
from detectors.reading.jsontext import parse_json, too_long
from detectors.reading.limits import Limits
from detectors.reading.record import Record, broken_off

_OUTSIDE = re.compile(rb'["{}\[\],]')
_INSIDE = re.compile(rb'["\\]')
_CLOSES = {ord("]"): ord("["), ord("}"): ord("{")}


@dataclass(frozen=True, slots=True)
class _Element:
    data: bytes
    cut: bool


def json_array_records(
    blocks: Iterator[bytes], limits: Limits
) -> Iterator[Record | BadLine]:
    """Yield one Record or BadLine for every element; `line` is the 1-based row.

    Where the brackets do not match, or the array is not closed, one last BadLine stands
    for the rest: there is no telling where its rows begin.
    """
    splitter = _Splitter(limits.max_row_bytes, limits.max_nesting)
    row = 0
    try:
        for block in blocks:
            for element in splitter.feed(block):
                row += 1
                yield _parsed(row, element, limits)
        splitter.finish()
    except StreamFault as fault:
        yield broken_off(row + 1, fault)


def _parsed(row: int, element: _Element, limits: Limits) -> Record | BadLine:
    if element.cut:
        return too_long(limits).at(row)
    try:
        return Record(row, parse_json(element.data, limits))
    except RowFault as fault:
        return fault.at(row)


class _Splitter:
    """Cuts the text between the outermost brackets at its outermost commas."""

    def __init__(self, max_bytes: int, max_nesting: int) -> None:
        self._max_bytes = max_bytes
        self._max_nesting = max_nesting
        self._open: list[int] = []
        self._beyond = 0
        self._in_string = False
        self._escaped = False
        self._closed = False
        self._after_comma = False
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, block: bytes) -> Iterator[_Element]:
        """Take the next bytes; yield the elements they complete."""
        start = at = 0
        if self._escaped and block:
            self._escaped, at = False, 1
        while match := (_INSIDE if self._in_string else _OUTSIDE).search(block, at):
            if self._closed:
                break
            mark, at = block[match.start()], match.end()
            if self._in_string:
                at = self._step_inside(mark, at, len(block))
                continue
            outermost = len(self._open) + self._beyond <= 1
            if self._is_boundary(mark, outermost):
                self._keep(block[start : match.start()])
                start = at
                yield from self._boundary(mark)
            else:
                self._step_outside(mark)
        if not self._closed:
            self._keep(block[start:])
        elif block[start:].strip():
            raise StreamFault("corrupt_file", "data after the end of the JSON array")

    def finish(self) -> None:
        """Raise a StreamFault where the array was never closed."""
        if not self._closed:
            raise StreamFault("truncated_file", "the JSON array is not closed")

    def _step_inside(self, mark: int, at: int, end: int) -> int:
        if mark == ord('"'):
            self._in_string = False
        elif at < end:
            return at + 1
        else:
            self._escaped = True
        return at

    def _is_boundary(self, mark: int, outermost: bool) -> bool:
        if not self._open:
            return mark == ord("[")
        return outermost and mark in (ord(","), ord("]"))

    def _boundary(self, mark: int) -> Iterator[_Element]:
        data, cut = b"".join(self._parts), self._size > self._max_bytes
        self._parts.clear()
        self._size = 0
        if mark == ord("["):
            self._open.append(mark)
            return
        self._closed = mark == ord("]")
        if cut or data.strip() or not self._closed or self._after_comma:
            yield _Element(data, cut)
        self._after_comma = mark == ord(",")

    def _step_outside(self, mark: int) -> None:
        if mark == ord('"'):
            self._in_string = True
        elif mark in (ord("["), ord("{")):
            # Past the limit the row is refused anyway: count, do not remember.
            if len(self._open) > self._max_nesting:
                self._beyond += 1
            else:
                self._open.append(mark)
        elif mark in _CLOSES:
            if self._beyond:
                self._beyond -= 1
            elif self._open.pop() != _CLOSES[mark]:
                raise StreamFault("corrupt_file", "brackets that do not match")

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._max_bytes:
            self._parts.clear()
        elif part:
            self._parts.append(part)
