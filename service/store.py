"""Store: the screenings of this process, each with its folder on disk."""

import json
import secrets
import shutil
import threading
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Literal

from service.report import OutcomeName

Status = Literal["queued", "running", "finished", "failed"]
RECORD: Final = "record.json"
REPORT: Final = "report.json"
UPLOAD: Final = "upload"
ROWS: Final = "rows.json"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a screening failed: a stable code and words."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Screening:
    """One screening asked for, and how far it is. Times are UTC, ISO 8601."""

    id: str
    name: str
    created_at: str
    status: Status = "queued"
    stage: str = ""
    done: int = 0
    total: int = 0
    outcome: OutcomeName | None = None
    fault: Fault | None = None
    finished_at: str | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ("finished", "failed")


INTERRUPTED: Final = Fault(
    "interrupted", "The service stopped before this screening ended: submit it again."
)


def now() -> str:
    """Return the time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Store:
    """Screenings by id, oldest first; safe to use from several threads.

    At most `max_kept` are kept: the oldest that are over go first, with their files.
    """

    def __init__(self, folder: Path, *, max_kept: int = 1_000) -> None:
        self._folder = folder / "screenings"
        self._max_kept = max_kept
        self._screenings: dict[str, Screening] = {}
        self._lock = threading.RLock()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._load()

    def create(self, name: str) -> Screening:
        """Make a screening with an empty folder; it is listed once added."""
        screening = Screening(f"scr_{secrets.token_hex(12)}", name, now())
        self.folder(screening.id).mkdir()
        return screening

    def add(self, screening: Screening) -> None:
        """List the screening, and drop the oldest that are over the limit."""
        with self._lock:
            self._screenings[screening.id] = screening
            self._save(screening)
            spare = len(self._screenings) - self._max_kept
            over = [each.id for each in self._screenings.values() if each.over]
            for old in over[: max(spare, 0)]:
                self.delete(old)

    def get(self, screening_id: str) -> Screening | None:
        """Return the screening, or None where there is none of that id."""
        with self._lock:
            return self._screenings.get(screening_id)

    def page(
        self, *, after: str = "", limit: int, status: str = ""
    ) -> tuple[list[Screening], bool]:
        """Return screenings, newest first, and whether more follow.

        `after` is the id of the last one seen; KeyError where it is unknown.
        """
        with self._lock:
            every = list(reversed(self._screenings.values()))
        start = 0
        if after:
            ids = [screening.id for screening in every]
            if after not in ids:
                raise KeyError(after)
            start = ids.index(after) + 1
        left = [s for s in every[start:] if not status or s.status == status]
        return left[:limit], len(left) > limit

    def move(self, screening_id: str, stage: str, done: int, total: int) -> bool:
        """Note how far a screening is; False where it was deleted meanwhile."""
        return self._change(screening_id, stage=stage, done=done, total=total)

    def start(self, screening_id: str) -> bool:
        """Note that a screening runs; False where it was deleted meanwhile."""
        return self._change(screening_id, status="running", save=True)

    def finish(self, screening_id: str, outcome: OutcomeName, report: str) -> bool:
        """Keep the report; False where the screening was deleted meanwhile."""
        with self._lock:
            if screening_id not in self._screenings:
                return False
            self.report_path(screening_id).write_text(report, "utf-8")
            return self._change(
                screening_id,
                status="finished",
                stage="",
                outcome=outcome,
                finished_at=now(),
                save=True,
            )

    def fail(self, screening_id: str, fault: Fault) -> bool:
        """Keep why a screening failed; False where it was deleted meanwhile."""
        return self._change(
            screening_id, status="failed", fault=fault, finished_at=now(), save=True
        )

    def delete(self, screening_id: str) -> bool:
        """Forget a screening and its files; False where there is none of that id."""
        with self._lock:
            found = self._screenings.pop(screening_id, None)
        if found is not None:
            self.discard(found)
        return found is not None

    def discard(self, screening: Screening) -> None:
        """Remove the folder of a screening."""
        shutil.rmtree(self.folder(screening.id), ignore_errors=True)

    def folder(self, screening_id: str) -> Path:
        """Return the folder of a screening whose id came from this store."""
        return self._folder / screening_id

    def report_path(self, screening_id: str) -> Path:
        """Return where the report of a screening stands."""
        return self.folder(screening_id) / REPORT

    def _change(self, screening_id: str, *, save: bool = False, **changes: Any) -> bool:
        with self._lock:
            screening = self._screenings.get(screening_id)
            if screening is None:
                return False
            screening = replace(screening, **changes)
            self._screenings[screening_id] = screening
            if save:
                self._save(screening)
            return True

    def _save(self, screening: Screening) -> None:
        path = self.folder(screening.id) / RECORD
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(screening)), "utf-8")
        fresh.replace(path)

    def _load(self) -> None:
        read: list[Screening] = []
        for folder in self._folder.glob("scr_*"):
            path = folder / RECORD
            if not path.exists():  # stopped while the upload was arriving
                shutil.rmtree(folder)
                continue
            record = json.loads(path.read_text("utf-8"))
            fault = record.pop("fault")
            read.append(Screening(**record, fault=Fault(**fault) if fault else None))
        for screening in sorted(read, key=attrgetter("created_at")):
            self._screenings[screening.id] = screening
            if not screening.over:
                self.fail(screening.id, INTERRUPTED)
