"""Findings of the last few reports, parsed once, so that paging is quick."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Final

from service.report.report import FindingSection, Report

MAX_REPORTS: Final = 4
MAX_BYTES: Final = 32 * 1024 * 1024
"""Of the findings that are kept, as JSON; those of the last report are in any case."""

KEPT_SECONDS: Final = 60.0
"""So long after it was read: what is deleted must not be held on to."""


@dataclass(frozen=True, slots=True)
class Found:
    """One finding: what it is filtered by, and all of it as JSON, which is small."""

    detector: str
    category: str
    score: float
    content: bytes

    @classmethod
    def of(cls, finding: FindingSection) -> "Found":
        """Take it from a report."""
        content = finding.model_dump_json().encode()
        return cls(finding.detector, finding.category, finding.score, content)

    def section(self) -> FindingSection:
        """Return it as it stands in the report."""
        return FindingSection.model_validate_json(self.content)


@dataclass(frozen=True, slots=True)
class Listed:
    """The findings that a report lists, by row, and how many there are in all."""

    findings: tuple[Found, ...]
    count: int

    @classmethod
    def of(cls, content: bytes) -> "Listed":
        """Read them from a report."""
        report = Report.model_validate_json(content)
        return cls(tuple(map(Found.of, report.findings)), report.finding_count)

    @property
    def size(self) -> int:
        """Bytes of JSON."""
        return sum(len(found.content) for found in self.findings)


class RecentFindings:
    """Findings by the digest of their report; those not asked for longest go first.

    Whether a caller may see a report, and whether it is still there, is for the caller
    of `get` to know.
    """

    def __init__(
        self,
        *,
        max_reports: int = MAX_REPORTS,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._max_reports = max_reports
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: OrderedDict[str, tuple[Listed, int, float]] = OrderedDict()
        self._lock = Lock()

    def get(self, digest: str, read: Callable[[], bytes]) -> Listed:
        """Return the findings of a report, which is read where they are not kept."""
        with self._lock:
            self._forget(self._clock() - KEPT_SECONDS)
            if digest in self._kept:
                self._kept.move_to_end(digest)
                return self._kept[digest][0]
        listed = Listed.of(read())
        with self._lock:
            self._kept[digest] = listed, listed.size, self._clock()
            self._kept.move_to_end(digest)
            while len(self._kept) > 1 and self._full():
                self._kept.popitem(last=False)
        return listed

    def _forget(self, before: float) -> None:
        old = [key for key, (_, _, read) in self._kept.items() if read < before]
        for key in old:
            del self._kept[key]

    def _full(self) -> bool:
        size = sum(size for _, size, _ in self._kept.values())
        return len(self._kept) > self._max_reports or size > self._max_bytes
