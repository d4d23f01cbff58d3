"""Scores of rows kept on disk, for a detector that judges each row alone."""

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from detectors.dataset import Dataset, Example
from detectors.detector import Detector, Scores

ROWS_ALONE: Final = ("explicit_harm",)
"""Detectors whose score of a row does not depend on the other rows."""


@runtime_checkable
class Thresholded(Detector, Protocol):
    """A detector that suggests a threshold."""

    @property
    def suggested_threshold(self) -> float:
        """The score from which a row is flagged."""
        ...


class RowMemo:
    """A detector whose rows are scored once, over all files and restarts.

    Only for a detector without groups, triggers or a risk of its own: its score of a
    row must not depend on the other rows. Kept are the score and the reason where
    there is none, by the detector's version and the digest of the row; no text.
    """

    def __init__(self, detector: Detector, path: Path) -> None:
        self._detector = detector
        self._file = sqlite3.connect(path)
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS scores "
            "(key BLOB PRIMARY KEY, value REAL, reason TEXT) WITHOUT ROWID"
        )

    @property
    def name(self) -> str:
        """The key of the detector."""
        return self._detector.name

    @property
    def suggested_threshold(self) -> float:
        """The score from which the detector flags a row."""
        if not isinstance(self._detector, Thresholded):
            raise TypeError(f"{self.name} suggests no threshold")
        return self._detector.suggested_threshold

    @property
    def version(self) -> str:
        """Code version and head digest."""
        return self._detector.version

    def score(self, dataset: Dataset) -> Scores:
        """Score the rows never seen, take the others from the file; no evidence."""
        keys = [self._key(example) for example in dataset]
        fresh = {
            key: example
            for key, example in zip(keys, dataset, strict=True)
            if self._known(key) is None
        }
        if fresh:
            self._add(list(fresh), list(fresh.values()))
        known = [self._known(key) for key in keys]
        found = [(None, "not kept") if each is None else each for each in known]
        n = len(found)
        return Scores(
            detector=self.name,
            version=self.version,
            values=tuple(value for value, _ in found),
            evidence=(None,) * n,
            categories=("",) * n,
            unscored=tuple(reason for _, reason in found),
        )

    def _add(self, keys: Sequence[bytes], rows: Sequence[Example]) -> None:
        scores = self._detector.score(Dataset("fresh", tuple(rows)))
        if scores.triggers or scores.risk is not None:
            raise ValueError(f"{self.name} judges files: its rows cannot be kept")
        self._file.executemany(
            "INSERT OR IGNORE INTO scores VALUES (?, ?, ?)",
            zip(keys, scores.values, scores.unscored, strict=True),
        )
        self._file.commit()

    def _known(self, key: bytes) -> tuple[float | None, str] | None:
        row: tuple[float | None, str] | None = self._file.execute(
            "SELECT value, reason FROM scores WHERE key = ?", (key,)
        ).fetchone()
        return row

    def _key(self, example: Example) -> bytes:
        digest = hashlib.sha256(f"{self.name}/{self.version}/".encode())
        digest.update(example.canonical())
        return digest.digest()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
