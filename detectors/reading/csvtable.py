"""CSV (RFC 4180) with a header, split by us so that no quote can eat all memory."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from detectors.dataset import BadLine
from detectors.errors import DatasetError
from detectors.reading.cell import with_json_cells
from detectors.reading.fault import RowFault, shown
from detectors.reading.jsontext import too_long
from detectors.reading.limits import Limits
from detectors.reading.physical_line import BlankLines, PhysicalLine, physical_lines
from detectors.reading.record import Record, broken_off

DELIMITERS: Final = ",;\t|"
_BAD_BYTE = re.compile("[\udc80-\udcff]")
"""What `surrogateescape` leaves of bytes that are not UTF-8."""


def split_header(line: str, delimiter: str) -> list[str]:
    """Column names of a header line; [] where its quotes do not close."""
    row = _RowInProgress(delimiter, len(line) + 1)
    row.feed(line.rstrip("\r\n"))
    return [cell.strip() for cell in row.cells] if row.complete else []


def csv_records(
    blocks: Iterator[bytes], delimiter: str, limits: Limits
) -> Iterator[Record | BadLine]:
    """Yield one Record or BadLine for every row after the header.

    `line` is the physical line at which the row begins. A quote that is never closed
    makes one BadLine that names the lines it swallowed.
    """
    lines = physical_lines(blocks, limits.max_row_bytes)
    columns: list[str] = []
    row, begun = _RowInProgress(delimiter, limits.max_row_chars), 0
    last, blank = 0, BlankLines(limits)
    for line in lines:
        if line.fault:
            yield broken_off(begun or line.number, line.fault)
            return
        if not begun and not line.cut and _is_blank(line.data, bool(columns)):
            blank.add()
            continue
        begun, last = begun or line.number, line.number
        row.feed_line(line)
        if not row.complete:
            continue
        if columns:
            yield _record(row, begun, columns, limits)
        else:
            columns = _header(row)
        row, begun = _RowInProgress(delimiter, limits.max_row_chars), 0
    if begun:
        lines_taken = f"line {begun}" if last == begun else f"lines {begun} to {last}"
        found = f"a quote still open, which takes in {lines_taken}"
        yield BadLine(begun, "unclosed_quote", "", "every quote closed", found)


def _is_blank(data: bytes, has_header: bool) -> bool:
    """Tell a blank line: after the header, tabs and spaces are cells."""
    return not (data.rstrip(b"\r") if has_header else data.strip())


def _header(row: "_RowInProgress") -> list[str]:
    columns = [cell.strip() for cell in row.cells]
    # Spreadsheets write empty columns too, which no trainer can ask for.
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise DatasetError(f"the CSV header names a column twice: {shown(twice[0])}")
    return columns


def _record(
    row: "_RowInProgress", line: int, columns: Sequence[str], limits: Limits
) -> Record | BadLine:
    try:
        row.check(limits)
        if len(row.cells) != len(columns):
            expected = f"{len(columns)} cells, as the header has"
            raise RowFault("cell_count", "", expected, str(len(row.cells)))
        cells: dict[str, object] = dict(zip(columns, row.cells, strict=True))
        return Record(line, with_json_cells(cells, limits))
    except RowFault as fault:
        return fault.at(line)


class _RowInProgress:
    """The cells of one row, gathered over as many physical lines as its quotes span."""

    def __init__(self, delimiter: str, max_chars: int) -> None:
        self.cells: list[str] = []
        self.complete = False
        self._delimiter = delimiter
        self._max_chars = max_chars
        self._size = 0
        self._cell: list[str] = []
        self._quoted = False
        self._cut = False
        self._stray = False
        self._returned = False

    def feed_line(self, line: PhysicalLine) -> None:
        """Take a physical line; one that was cut for its length ends the row."""
        if line.cut:
            self._cut = self.complete = True
            return
        self.feed(line.data.decode(errors="surrogateescape"))

    def feed(self, text: str) -> None:
        """Take the next line of text, without its newline."""
        self._size += len(text) + 1
        self._cut = self._cut or self._size > self._max_chars
        at = 0 if self._quoted else self._begin_cell(text, 0)
        while self._quoted:
            at = self._read_quoted(text, at)
            if self._quoted:
                self._keep(text[at:] + "\n")
                return
            at = self._end_quoted(text, at)
        self.complete = True

    def check(self, limits: Limits) -> None:
        """RowFault where the row is too long, is not UTF-8 or is quoted wrongly."""
        if self._cut:
            raise too_long(limits)
        for cell in self.cells:
            if match := _BAD_BYTE.search(cell):
                found = f"byte 0x{ord(match[0]) - 0xDC00:02x}"
                raise RowFault("invalid_utf8", "", "UTF-8 text", found)
            if "\0" in cell:
                expected = "text without NUL characters"
                raise RowFault("nul_character", "", expected, "NUL")
        if self._stray:
            expected = "a delimiter after a closing quote"
            raise RowFault("bad_quote", "", expected, "other text")
        if self._returned:  # other readers end the row there
            expected = "a line feed after a carriage return, or quotes around it"
            raise RowFault("bare_return", "", expected, "a carriage return")

    def _begin_cell(self, text: str, at: int) -> int:
        """Take unquoted cells from `at`; stop inside a quoted one or at the end."""
        while True:
            if text.startswith('"', at):
                self._quoted = True
                return at + 1
            end = text.find(self._delimiter, at)
            if end < 0:
                self._take(text[at:].removesuffix("\r"))
                return len(text)
            self._take(text[at:end])
            at = end + 1

    def _take(self, cell: str) -> None:
        self._returned = self._returned or "\r" in cell
        self.cells.append(cell)

    def _read_quoted(self, text: str, at: int) -> int:
        """Read on to the closing quote; leaves `_quoted` where it is not in `text`."""
        while (end := text.find('"', at)) >= 0:
            self._keep(text[at:end])
            if not text.startswith('"', end + 1):
                self._quoted = False
                return end + 1
            self._keep('"')
            at = end + 2
        return at

    def _end_quoted(self, text: str, at: int) -> int:
        self.cells.append("".join(self._cell))
        self._cell.clear()
        end = text.find(self._delimiter, at)
        between = text[at:] if end < 0 else text[at:end]
        ending = "\r" if end < 0 else ""
        self._stray = self._stray or between not in ("", ending)
        return len(text) if end < 0 else self._begin_cell(text, end + 1)

    def _keep(self, text: str) -> None:
        if self._cut:
            self._cell.clear()
        else:
            self._cell.append(text)
