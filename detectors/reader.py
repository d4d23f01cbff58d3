"""Every accepted file and row shape -> Dataset, streaming; names the bad line.

Row shapes: OpenAI chat and preference, TRL preference, prompt/completion, Alpaca,
ShareGPT, Gemini, text. Files: JSONL, JSON array, CSV, Parquet, Arrow, plain or as gzip
or zstd, told by their content and never by their name. A `text` row in a known
chat template becomes its messages, any other one trained assistant message with no
request. All rows of a file must have the same shape.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from detectors.dataset import BadLine, Dataset, Example, Origin
from detectors.errors import DatasetError
from detectors.reading.bytestream import opened, sha256_of, stat_size
from detectors.reading.fault import RowFault, shown
from detectors.reading.fileformat import records
from detectors.reading.jsontext import check_strings, too_deep, too_long
from detectors.reading.limits import Limits
from detectors.reading.record import Record
from detectors.reading.rowshape import read_row

__all__ = ["Limits", "iter_rows", "read_dataset", "read_rows"]

_DEFAULT = Limits()
_WATCHED_ROWS: Final = 2_000

Watch = Callable[[], None]


def _unwatched() -> None:
    pass


def read_dataset(
    path: Path,
    *,
    limits: Limits = _DEFAULT,
    name: str = "",
    watch: Watch = _unwatched,
) -> Dataset:
    """Read a file whole. `name` stands for it in origins, by default its file name.

    Bad rows are in `Dataset.bad_lines`; DatasetError where the file as a whole cannot
    be read, goes over a limit, or holds no rows at all. `watch` is called between some
    thousand rows: what it raises ends the reading.
    """
    name = name or path.name
    with opened(path, limits, name) as file:
        sha256, size = sha256_of(file), stat_size(file)
        rows = _watched(_examples(records(file, limits), name, limits), watch)
        return _gathered(rows, name, sha256, size, limits)


def iter_rows(
    path: Path, *, limits: Limits = _DEFAULT, name: str = ""
) -> Iterator[Example | BadLine]:
    """Yield every row of a file in order, in memory bounded by `limits`.

    DatasetError, possibly after some rows, where the file as a whole cannot be read.
    """
    name = name or path.name
    with opened(path, limits, name) as file:
        yield from _examples(records(file, limits), name, limits)


def read_rows(
    rows: Iterable[object],
    *,
    name: str,
    limits: Limits = _DEFAULT,
    watch: Watch = _unwatched,
) -> Dataset:
    """Read rows already parsed from JSON; lines are 1-based positions.

    `sha256` and `size_bytes` are those of the rows written as canonical JSON lines.
    `watch` as in `read_dataset`.
    """
    written = _Written(limits)
    parsed = (written.record(line, row) for line, row in enumerate(rows, 1))
    examples = list(_watched(_examples(parsed, name, limits), watch))
    return _gathered(
        iter(examples), name, written.digest.hexdigest(), written.size, limits
    )


def _watched(
    rows: Iterator[Example | BadLine], watch: Watch
) -> Iterator[Example | BadLine]:
    for count, row in enumerate(rows, 1):
        yield row
        if count % _WATCHED_ROWS == 0:
            watch()


def _examples(
    found: Iterable[Record | BadLine], name: str, limits: Limits
) -> Iterator[Example | BadLine]:
    """Turn records into examples; the first readable row sets the shape of the file."""
    shape = ""
    for count, record in enumerate(found, 1):
        if count > limits.max_rows:
            raise DatasetError(
                f"{name} holds more than {limits.max_rows} rows; split it or raise "
                "max_rows"
            )
        if isinstance(record, BadLine):
            yield record
            continue
        try:
            example = read_row(record.value, Origin(name, record.line), limits)
            shape = shape or example.shape
            if example.shape != shape:
                expected = f"a {shape} row, as the rows before it"
                raise RowFault("mixed_shape", "", expected, f"a {example.shape} row")
            yield example
        except RowFault as fault:
            yield fault.at(record.line)


def _gathered(
    rows: Iterator[Example | BadLine],
    name: str,
    sha256: str,
    size: int,
    limits: Limits,
) -> Dataset:
    examples: list[Example] = []
    bad: list[BadLine] = []
    bad_count = 0
    for row in rows:
        if isinstance(row, Example):
            examples.append(row)
            continue
        bad_count += 1
        if bad_count <= limits.max_bad_lines:
            bad.append(row)
    if not examples and not bad:
        raise DatasetError(f"{name} holds no rows; it must hold at least one")
    return Dataset(
        name=name,
        examples=tuple(examples),
        sha256=sha256,
        size_bytes=size,
        bad_lines=tuple(bad),
        bad_line_count=bad_count,
    )


class _Written:
    """Digests parsed rows as canonical JSON lines while they are handed on."""

    def __init__(self, limits: Limits) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self._limits = limits

    def record(self, line: int, row: object) -> Record | BadLine:
        try:
            text = self._checked(row)
        except RowFault as fault:
            self._add(f"unreadable: {fault.code}")
            return fault.at(line)
        self._add(text)
        return Record(line, row)

    def _checked(self, row: object) -> str:
        _check_depth(row, self._limits.max_nesting)
        check_strings(row)
        try:
            text = json.dumps(
                row,
                ensure_ascii=False,
                sort_keys=True,
                separators=(",", ":"),
                allow_nan=False,
            )
        except (TypeError, ValueError) as error:
            found = shown(str(error))
            raise RowFault("bad_json", "", "one valid JSON value", found) from None
        if len(text) > self._limits.max_row_chars:
            raise too_long(self._limits)
        return text

    def _add(self, text: str) -> None:
        data = text.encode() + b"\n"
        self.digest.update(data)
        self.size += len(data)
        if self.size > self._limits.max_bytes:
            raise DatasetError(
                f"the rows take more than {self._limits.max_bytes} bytes; send fewer "
                "or raise max_bytes"
            )


def _check_depth(row: object, max_nesting: int) -> None:
    """RowFault where containers nest deeper; costs no stack."""
    level = [row]
    for _ in range(max_nesting):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    if any(isinstance(value, dict | list) for value in level):
        raise too_deep(max_nesting)
