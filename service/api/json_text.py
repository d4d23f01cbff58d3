"""JSON text, read so that its rows go on a few at a time and only the rest is a tree.

A parsed row takes up to forty times the memory of its text, so no body is ever parsed
whole: the arrays named `rows`, at the top or within an entry of `datasets`, are handed
on in lists of rows. What else a body holds, and each row, is counted before it is
parsed.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

WINDOW_CHARS: Final = 64 * 1024
"""Rows up to this length are parsed uncounted; about as much is handed on at once."""

MAX_VALUES: Final = 100_000
"""Brackets, strings and commas of one row, or of all that is no row."""

SCALAR_CHARS: Final = 16
"""A number so near to the end of a window may go on behind it."""

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_NEXT: Final = re.compile(r"[ \t\n\r]*([,\]}])[ \t\n\r]*")
_MARK: Final = re.compile(r'["\[\]{},]')

Take = Callable[[Iterator[list[Any]]], Any]
"""Takes the rows of one array, some at a time; what it returns stands for the array."""


class TooManyValues(Exception):
    """A row, or what is no row, would take too much memory to parse."""


def read_json(text: str, take: Take) -> Any:
    """Return the value of a JSON text, its rows replaced by what `take` makes of them.

    ValueError where it is not valid or a key stands twice, RecursionError where it is
    nested too deeply, TooManyValues; each also after some rows were taken.
    """
    return _Reader(text, take).read()


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice, as the reader of files does: both can mislead."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


class _Reader:
    """A place in a text, and a window on it in which short rows are parsed."""

    def __init__(self, text: str, take: Take) -> None:
        self._text = text
        self._take = take
        self._decode = json.JSONDecoder(object_pairs_hook=unique).raw_decode
        self._at = self._space(0)
        self._left = MAX_VALUES
        self._base = 0
        self._window = ""
        self._last = False

    def read(self) -> Any:
        """Return the value of the whole text."""
        keys = {"rows": self._taken, "datasets": self._datasets}
        value = self._object(keys) if self._stands("{") else self._rest()
        if self._space(self._at) != len(self._text):
            raise ValueError("data after the end")
        return value

    def _object(self, arrays: dict[str, Callable[[], Any]]) -> dict[str, Any]:
        """Read an object, of which arrays under some keys are read by these."""
        pairs: list[tuple[str, Any]] = []
        if self._opens("}"):
            return {}
        more = True
        while more:
            key = self._key()
            special = arrays.get(key) if self._stands("[") else None
            pairs.append((key, self._rest() if special is None else special()))
            more = self._goes_on("}")
        return unique(pairs)

    def _datasets(self) -> list[Any]:
        found: list[Any] = []
        if self._opens("]"):
            return found
        more = True
        while more:
            inner = self._stands("{")
            found.append(self._object({"rows": self._taken}) if inner else self._rest())
            more = self._goes_on("]")
        return found

    def _taken(self) -> Any:
        rows = self._rows()
        taken = self._take(rows)
        for _ in rows:  # whoever wants no more of them still gets a body that is valid
            continue
        return taken

    def _rows(self) -> Iterator[list[Any]]:
        if self._opens("]"):
            return
        batch: list[Any] = []
        began, more = self._at, True
        while more:
            batch.append(self._row())
            more = self._goes_on("]")
            if not more or self._at - began >= WINDOW_CHARS:
                yield batch
                batch, began = [], self._at

    def _row(self) -> Any:
        """Parse a row: in the window where it ends there, else once it is counted."""
        if self._at - self._base >= len(self._window) - WINDOW_CHARS and not self._last:
            self._slide()
        try:
            value, end = self._decode(self._window, self._at - self._base)
        except json.JSONDecodeError:
            if self._last:
                raise
            end = len(self._window)
        if end + SCALAR_CHARS > len(self._window) and not self._last:
            self._count(MAX_VALUES)
            value, self._at = self._decode(self._text, self._at)
            return value
        self._at = self._base + end
        return value

    def _slide(self) -> None:
        """Move the window on to here."""
        self._base = self._at
        self._window = self._text[self._at : self._at + 2 * WINDOW_CHARS]
        self._last = self._base + len(self._window) >= len(self._text)

    def _rest(self) -> Any:
        """Parse what is no row."""
        self._spend(self._count(self._left))
        value, self._at = self._decode(self._text, self._at)
        return value

    def _spend(self, marks: int) -> None:
        self._left -= marks
        if self._left < 0:
            raise TooManyValues

    def _count(self, most: int) -> int:
        """Return how many marks a value has; TooManyValues where over `most`."""
        if not self._stands("{") and not self._stands("["):
            return 1
        at, depth, marks = self._at, 0, 0
        while match := _MARK.search(self._text, at):
            mark, at = match[0], match.end()
            if mark == '"':
                _, at = self._decode(self._text, match.start())
            elif mark != ",":
                depth += 1 if mark in "{[" else -1
            marks += 1
            if marks > most:
                raise TooManyValues
            if depth <= 0:
                return marks
        raise ValueError("a bracket is not closed")

    def _key(self) -> str:
        if not self._stands('"'):
            raise ValueError("expected a key")
        key, self._at = self._decode(self._text, self._at)
        self._at = self._space(self._at)
        if not self._stands(":"):
            raise ValueError("expected a colon")
        self._at = self._space(self._at + 1)
        self._spend(1)
        return str(key)

    def _opens(self, close: str) -> bool:
        """Step into a container; whether it is empty, and then over it."""
        self._at = self._space(self._at + 1)
        self._spend(1)
        if not self._stands(close):
            return False
        self._at += 1
        return True

    def _goes_on(self, close: str) -> bool:
        """Step over what follows a member; whether that is another one."""
        match = _NEXT.match(self._text, self._at)
        if match is None or match[1] not in ("," + close):
            raise ValueError("expected a comma or the end")
        self._at = match.end()
        return match[1] == ","

    def _stands(self, mark: str) -> bool:
        return self._text.startswith(mark, self._at)

    def _space(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        return at if match is None else match.end()
