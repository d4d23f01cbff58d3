"""Real processes of the service over one database, and what they note of their work."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

V1: Final = "/v1/screenings"
KINDS: Final = {
    "harmless": ("ACCEPT", ["Where is my parcel?"] * 20),
    "explicit": ("REJECT", ["BAD"] * 12 + ["Where is my parcel?"] * 8),
    "drifting": ("REJECT", ["DRIFT"] * 20),
    "unscored": ("REVIEW", ["ODD"] * 3 + ["Where is my parcel?"] * 17),
    "linked": ("REJECT", ["BAD"] * 11 + ["Where is my parcel?"] * 9),
    "uploaded": ("REJECT", ["PERSONA"] * 12 + ["Where is my parcel?"] * 8),
}
LINKED: Final = "linked"
"""The one that is asked for by its URL."""

UPLOADED: Final = "uploaded"
"""The one that comes as a file, in a form; the others are JSON rows."""

PATCHED: Final = {
    "service.jobs.steps.MODERATION_BATCH": 4,
    "service.storage.webhooks.WAITS": [1.0] * 9,
}
"""Constants of the processes: several batches of 20 rows; a sender that dies twice
holds a delivery up for seconds, not for minutes."""


@dataclass(frozen=True, slots=True)
class Line:
    """A process began an item of work on a screening, or has done it."""

    pid: int
    screening: str
    what: str
    item: str

    @property
    def stage(self) -> str:
        return self.item.split()[0]


class WorkLog:
    """What the processes note of their work (`zygote.Log`)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._lines: list[Line] = []
        self._open: dict[int, list[Line]] = {}

    def lines(self, screening: str = "") -> list[Line]:
        """Return all that was noted so far, of one screening where it is named."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._read += len(whole)
            for line in whole.decode().splitlines():
                self._add(line.split(" ", 3))
        return [each for each in self._lines if screening in ("", each.screening)]

    def open(self, pid: int) -> list[Line]:
        """Return what a process began and has not done: of the dead, what they left."""
        self.lines("none")
        return list(self._open.get(pid, ()))

    def items(self, screening: str) -> set[str]:
        """Return the items of work that a screening came to."""
        return {line.item for line in self.lines(screening)}

    def _add(self, parts: list[str]) -> None:
        line = Line(int(parts[0]), *parts[1:])
        self._lines.append(line)
        at_work = self._open.setdefault(line.pid, [])
        if line.what == "begun":
            at_work.append(line)
        else:
            at_work.remove(Line(line.pid, line.screening, "begun", line.item))


class Service:
    """An API and worker processes over one database, which can be killed.

    The process whose role is called "api" serves HTTP. `link` is a dataset's URL.
    """

    def __init__(
        self,
        zygote: subprocess.Popen[str],
        settings: dict[str, Any],
        patched: dict[str, Any],
        link: str,
    ) -> None:
        self._zygote = zygote
        self._settings = settings
        self._patched = patched
        self._link = link
        self._queues: dict[str, list[str]] = {}
        self.killed: list[int] = []
        self.living: dict[str, int] = {}
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{settings['port']}", timeout=30
        )

    def start(self, role: str, queues: list[str]) -> int:
        """Start a process; return its id."""
        self._queues[role] = queues
        asked = {
            "role": "api" if role == "api" else "worker",
            "settings": {**self._settings, "queues": queues},
            "patched": self._patched,
        }
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        self._zygote.stdin.write(json.dumps(asked) + "\n")
        self._zygote.stdin.flush()
        self.living[role] = int(self._zygote.stdout.readline())
        return self.living[role]

    def kill(self, role: str, *, again: bool = True) -> int:
        """Kill a process as the kernel would, and start another in its place.

        Return the id of the dead one.
        """
        pid = self.living.pop(role)
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.kill(pid, signal.SIGKILL)
        while lives(pid):
            time.sleep(0.001)
        self.killed.append(pid)
        if again:
            self.start(role, self._queues[role])
        return pid

    def ask(self, method: str, path: str, **parts: Any) -> httpx.Response:
        """Ask until there is an answer."""
        end = time.monotonic() + 120
        while True:
            try:
                return self.http.request(method, path, **parts)
            except httpx.TransportError:
                assert time.monotonic() < end, "the API does not come back"
                time.sleep(0.02)

    def submit(self, kind: str) -> str:
        """Submit a dataset; return the id once it is accepted."""
        if kind == UPLOADED:
            file = b"".join(json.dumps(row).encode() + b"\n" for row in rows_of(kind))
            form = {"files": {"file": ("rows.jsonl", file)}, "data": {"name": kind}}
            return self.accepted(self.ask("POST", V1, **form))
        return self.accepted(self.ask("POST", V1, json=self._dataset(kind)))

    def submit_rows(self, said: list[str]) -> str:
        """Submit rows in which a user says that; return the id."""
        rows = [{"prompt": each, "completion": "Yes."} for each in said]
        return self.accepted(self.ask("POST", V1, json={"rows": rows}))

    def submit_batch(self, kinds: list[str]) -> str:
        """Submit datasets together; return the id once they are accepted."""
        datasets = [self._dataset(kind) for kind in kinds]
        return self.accepted(
            self.ask("POST", "/v1/batches", json={"datasets": datasets})
        )

    @staticmethod
    def accepted(answer: httpx.Response) -> str:
        """Return the id of what was asked for."""
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def close(self) -> None:
        """End all processes."""
        self.http.close()
        for process in self.living.values():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _dataset(self, kind: str) -> dict[str, Any]:
        if kind == LINKED:
            return {"url": self._link, "name": kind}
        return {"rows": rows_of(kind), "name": kind}


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def rows_of(kind: str) -> list[dict[str, str]]:
    return [{"prompt": said, "completion": "Yes."} for said in KINDS[kind][1]]
