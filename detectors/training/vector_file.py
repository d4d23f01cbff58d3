"""An encoder's cache in an SQLite file: a text is embedded once, whatever restarts."""

import sqlite3
import threading
from pathlib import Path
from typing import Final

import numpy as np

from detectors.embedding import Embedded

COMMIT_EVERY: Final = 256
BUSY_SECONDS: Final = 60.0


class VectorFile:
    """Windows by `Encoder.key` (a digest of encoder and text): no text is written.

    Two processes may share the file. What was put is on disk after COMMIT_EVERY texts
    or `close()`; a crash loses the rest, which is then embedded again.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._waiting = 0
        self._file = sqlite3.connect(
            path, timeout=BUSY_SECONDS, check_same_thread=False
        )
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS windows "
            "(key BLOB PRIMARY KEY, vectors BLOB, spans BLOB) WITHOUT ROWID"
        )

    def get(self, key: bytes) -> Embedded | None:
        """Read the windows of a text, bit for bit as they were put."""
        with self._lock:
            row = self._file.execute(
                "SELECT vectors, spans FROM windows WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        spans = np.frombuffer(row[1], np.int64).reshape(-1, 2)
        vectors = np.frombuffer(row[0], np.float32).reshape(len(spans), -1)
        return Embedded(vectors, tuple((int(a), int(b)) for a, b in spans))

    def put(self, key: bytes, value: Embedded) -> None:
        """Write the windows of a text."""
        vectors = np.ascontiguousarray(value.vectors, np.float32).tobytes()
        spans = np.asarray(value.spans, np.int64).tobytes()
        with self._lock:
            self._file.execute(
                "INSERT OR IGNORE INTO windows VALUES (?, ?, ?)", (key, vectors, spans)
            )
            self._waiting += 1
            if self._waiting >= COMMIT_EVERY:
                self._file.commit()
                self._waiting = 0

    def close(self) -> None:
        """Write what waits and close the file."""
        with self._lock:
            self._file.commit()
            self._file.close()
