"""Rows of a JSON body: put in the store as they are read, or kept as text, or refused.

They are never all parsed at once: see `json_text`.
"""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final, Protocol

from service.api.errors_http import Problem
from service.storage.datasets import Datasets, Upload

Batches = Iterator[list[Any]]


class Rows(Protocol):
    """What becomes of rows: `take` gives what stands for them in the body."""

    def take(self, batches: Batches) -> Any:
        """Take the rows of one array."""

    def discard(self) -> None:
        """Undo that: the request came to nothing."""


class NoRows:
    """For bodies that have none: the array counts as empty."""

    def take(self, batches: Batches) -> Any:
        """Return an empty list."""
        return []

    def discard(self) -> None:
        """There is nothing to undo."""


NO_ROWS: Final = NoRows()


class StoredRows:
    """Puts each array of rows into the store as a JSON array, an Upload."""

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets
        self._stored: list[Upload] = []

    def take(self, batches: Batches) -> Any:
        """Store the rows; an array without any is given back as it is."""
        first = next(batches, None)
        if first is None:
            return []
        incoming = self._datasets.incoming("rows")
        try:
            for block in json_array(chain([first], batches)):
                incoming.write(block)
            self._stored.append(incoming.close())
        except BaseException:
            incoming.abort()
            raise
        return self._stored[-1]

    def discard(self) -> None:
        """Remove from the store what was put there."""
        for upload in self._stored:
            self._datasets.discard(upload)


class KeptRows:
    """Keeps the JSON text of each row; 413 where there are more than `most`."""

    def __init__(self, most: int) -> None:
        self._most = most

    def take(self, batches: Batches) -> Any:
        """Return the texts."""
        kept: list[str] = []
        count = 0
        for batch in batches:
            fit = batch[: max(0, self._most - count)]
            kept += [json.dumps(row, ensure_ascii=False) for row in fit]
            count += len(batch)
        if count > self._most:
            said = f"A scan takes at most {self._most} rows, not {count}: use "
            raise Problem(413, "too_many_rows", said + "POST /v1/screenings.")
        return kept

    def discard(self) -> None:
        """There is nothing to undo."""


def json_array(batches: Batches) -> Iterator[bytes]:
    """Give the blocks of a JSON array of rows, as `json.dumps` would write the whole.

    So rows lie in the store, and their SHA-256 is that of these bytes.
    """
    before = b"["
    for batch in batches:
        yield before + json.dumps(batch).encode("ascii")[1:-1]
        before = b", "
    yield b"]"
