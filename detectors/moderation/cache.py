"""Verdicts by the digest of what was asked: no text is kept. Bounded.

What is over its age is never found, and is removed by one of the next verdicts kept.
"""

import json
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from detectors.errors import InputError
from detectors.moderation.moderator import LABEL_CHARS, Verdict
from detectors.taxonomy import CATEGORIES

MAX_IN_MEMORY: Final = 100_000
MAX_IN_FILE: Final = 1_000_000
MAX_AGE_SECONDS: Final = 30 * 24 * 3600.0
"""Providers change their models under one name: after a month, ask again."""
KEYS_AT_ONCE: Final = 500
FILE_SECONDS: Final = 5.0
PUTS_BETWEEN_PRUNINGS: Final = 256


class VerdictCache(Protocol):
    """Keeps verdicts; may forget any at any time."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Verdict]:
        """Return those that are known."""
        ...

    def put(self, verdicts: Mapping[bytes, Verdict]) -> None:
        """Keep these."""
        ...


class MemoryCache:
    """In memory; the least recently used go first. Safe to use from several threads."""

    def __init__(
        self,
        max_entries: int = MAX_IN_MEMORY,
        *,
        max_age_seconds: float = MAX_AGE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_entries = max_entries
        self._max_age_seconds = max_age_seconds
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[Verdict, float]] = OrderedDict()
        self._puts = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Verdict]:
        """Return those that are known and young enough."""
        oldest = self._clock() - self._max_age_seconds
        found: dict[bytes, Verdict] = {}
        with self._lock:
            for key in keys:
                kept = self._kept.get(key)
                if kept is not None and kept[1] >= oldest:
                    found[key] = kept[0]
                    self._kept.move_to_end(key)
        return found

    def put(self, verdicts: Mapping[bytes, Verdict]) -> None:
        """Keep these; now and then those that are too old go."""
        now = self._clock()
        with self._lock:
            self._kept.update({key: (said, now) for key, said in verdicts.items()})
            self._puts += 1
            if self._puts % PUTS_BETWEEN_PRUNINGS == 0:
                self._expire(now - self._max_age_seconds)
            while len(self._kept) > self._max_entries:
                self._kept.popitem(last=False)

    def _expire(self, oldest: float) -> None:
        for key in [key for key, (_, saved) in self._kept.items() if saved < oldest]:
            del self._kept[key]


class FileCache:
    """An SQLite file of digests and verdicts; the oldest go first, and all too old.

    A file that fails while in use is a miss, not an error. InputError where it cannot
    be opened at all.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_entries: int = MAX_IN_FILE,
        max_age_seconds: float = MAX_AGE_SECONDS,
    ) -> None:
        self._path = path
        self._max_entries = max_entries
        self._max_age_seconds = max_age_seconds
        self._puts = 0
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as file:
                file.execute(
                    "CREATE TABLE IF NOT EXISTS verdicts "
                    "(key BLOB PRIMARY KEY, verdict TEXT NOT NULL, saved REAL NOT NULL)"
                )
                file.execute("CREATE INDEX IF NOT EXISTS by_age ON verdicts (saved)")
                self._expire(file, time.time())
                self._prune(file)
        except (OSError, sqlite3.Error) as error:
            raise InputError(f"moderation cache {path}: {error}") from error

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            file = sqlite3.connect(self._path, timeout=FILE_SECONDS)
            try:
                with file:  # one transaction
                    yield file
            finally:
                file.close()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Verdict]:
        """Return those that are known and young enough."""
        found: dict[bytes, Verdict] = {}
        oldest = time.time() - self._max_age_seconds
        try:
            with self._open() as file:
                for start in range(0, len(keys), KEYS_AT_ONCE):
                    some = keys[start : start + KEYS_AT_ONCE]
                    marks = ",".join("?" * len(some))
                    rows = file.execute(
                        "SELECT key, verdict FROM verdicts "  # nosec B608  # marks only
                        f"WHERE saved >= ? AND key IN ({marks})",
                        (oldest, *some),
                    )
                    found |= {k: v for k, text in rows if (v := _read(text))}
        except sqlite3.Error:
            return found
        return found

    def put(self, verdicts: Mapping[bytes, Verdict]) -> None:
        """Keep these; those too old go, and now and then the oldest over the limit."""
        now = time.time()
        rows = [(key, _written(verdict), now) for key, verdict in verdicts.items()]
        try:
            with self._open() as file:
                file.executemany("REPLACE INTO verdicts VALUES (?, ?, ?)", rows)
                self._expire(file, now)
                self._puts += 1
                if self._puts % PUTS_BETWEEN_PRUNINGS == 0:
                    self._prune(file)
        except sqlite3.Error:
            return

    def _expire(self, file: sqlite3.Connection, now: float) -> None:
        oldest = now - self._max_age_seconds
        file.execute("DELETE FROM verdicts WHERE saved < ?", (oldest,))

    def _prune(self, file: sqlite3.Connection) -> None:
        (count,) = file.execute("SELECT COUNT(*) FROM verdicts").fetchone()
        file.execute(
            "DELETE FROM verdicts WHERE key IN "
            "(SELECT key FROM verdicts ORDER BY saved LIMIT ?)",
            (max(0, count - self._max_entries),),
        )


def _written(verdict: Verdict) -> str:
    return json.dumps([verdict.flagged, verdict.score, verdict.category, verdict.label])


def _read(text: object) -> Verdict | None:
    """Read an entry; whatever is not one is a miss."""
    try:
        flagged, score, category, label = json.loads(str(text))
        if not isinstance(flagged, bool) or category not in ("", *CATEGORIES):
            return None
        return Verdict(flagged, float(score), category, label[:LABEL_CHARS])
    except (ValueError, TypeError, RecursionError):
        return None
