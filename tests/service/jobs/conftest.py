"""Real processes of the service over one database, which can be killed."""

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import func, select

from service.caller import OPEN
from service.jobs.backend import Backend, open_backend
from service.settings import Settings
from service.storage.database import reading
from service.storage.tables import AUDIT_EVENTS, DELIVERIES, SCREENINGS

ZYGOTE: Final = Path(__file__).with_name("zygote.py")
V1: Final = "/v1/screenings"
KINDS: Final = {
    "harmless": ("ACCEPT", ["Where is my parcel?"] * 20),
    "explicit": ("REJECT", ["BAD"] * 12 + ["Where is my parcel?"] * 8),
    "drifting": ("REJECT", ["DRIFT"] * 20),
    "unscored": ("REVIEW", ["ODD"] * 3 + ["Where is my parcel?"] * 17),
    "linked": ("REJECT", ["BAD"] * 11 + ["Where is my parcel?"] * 9),
}
LINKED: Final = "linked"
"""The one that is asked for by its URL."""


@pytest.fixture(scope="module")
def zygote() -> Iterator[subprocess.Popen[str]]:
    """Start the process that forks all others."""
    pipe = subprocess.PIPE
    made = subprocess.Popen(
        [sys.executable, str(ZYGOTE)], stdin=pipe, stdout=pipe, text=True
    )
    assert made.stdout is not None
    assert made.stdout.readline() == "ready\n"
    yield made
    made.communicate()


class Service:
    """One API and one worker process over one database, which can be killed."""

    def __init__(
        self, zygote: subprocess.Popen[str], settings: dict[str, Any], files: "Files"
    ) -> None:
        self._zygote = zygote
        self._settings = settings
        self._files = files
        self.kills = 0
        self.living = {role: self._fork(role) for role in ("worker", "api")}
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{settings['port']}", timeout=30
        )

    def kill(self, role: str) -> None:
        """Kill a process as the kernel would, and start another in its place."""
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.kill(self.living[role], signal.SIGKILL)
        self.kills += 1
        self.living[role] = self._fork(role)

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
        answer = self.ask("POST", V1, json=self._dataset(kind))
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def submit_batch(self, kinds: list[str]) -> str:
        """Submit datasets together; return the id once they are accepted."""
        datasets = [self._dataset(kind) for kind in kinds]
        answer = self.ask("POST", "/v1/batches", json={"datasets": datasets})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def close(self) -> None:
        """End both processes."""
        self.http.close()
        for process in self.living.values():
            os.kill(process, signal.SIGKILL)

    def _dataset(self, kind: str) -> dict[str, Any]:
        if kind == LINKED:
            return {"url": self._files.url("/slow"), "name": kind}
        return {"rows": rows_of(kind), "name": kind}

    def _fork(self, role: str) -> int:
        queues = [] if role == "api" else ["ingest", "detect", "trial"]
        settings = {**self._settings, "queues": queues}
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        asked = {"role": role, "settings": settings}
        self._zygote.stdin.write(json.dumps(asked) + "\n")
        self._zygote.stdin.flush()
        return int(self._zygote.stdout.readline())


def rows_of(kind: str) -> list[dict[str, str]]:
    return [{"prompt": said, "completion": "Yes."} for said in KINDS[kind][1]]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def options(database_url: str, tmp_path: Path) -> dict[str, Any]:
    return {
        "database_url": database_url,
        "data_dir": str(tmp_path),
        "port": free_port(),
        "lease_seconds": 1.0,
        "poll_seconds": 0.02,
        "max_queued": 1_000,
        "max_kept": 10_000,
        "webhook_private": True,
        "fetch_private": True,
        "fetch_sources": ["http://"],
    }


@pytest.fixture
def kept(options: dict[str, Any]) -> Iterator[Backend]:
    made = open_backend(Settings(**options))
    yield made
    made.close()


@pytest.fixture
def served(options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the processes, where they differ from the test's own."""
    return options


@pytest.fixture
def service(
    zygote: subprocess.Popen[str],
    served: dict[str, Any],
    kept: Backend,
    files: "Files",
) -> Iterator[Service]:
    made = Service(zygote, served, files)
    yield made
    made.close()


class Files:
    """A server of one file: at once, after a while (/slow), or once told to (/held).

    At /none there is none. `gone` counts the readers of /held that hung up.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gone = 0
        self.go = threading.Event()
        files = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                files.asked.append(self.path)
                with suppress(OSError):
                    files.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(404 if handler.path.startswith("/none") else 200)
        handler.end_headers()
        if handler.path.startswith("/slow"):
            self.go.wait(0.2)
        while handler.path.startswith("/held") and not self.go.wait(0.02):
            try:  # a reader that is gone is felt by writing
                handler.wfile.write(b"\n")
            except OSError:
                self.gone += 1
                raise
        for row in rows_of(LINKED):
            handler.wfile.write(json.dumps(row).encode() + b"\n")

    def close(self) -> None:
        self.go.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def files() -> Iterator[Files]:
    made = Files()
    yield made
    made.close()


class Receiver:
    """A receiver on a real socket; answers with `status`, keeps what it was sent."""

    def __init__(self) -> None:
        self.status = 204
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@dataclass(frozen=True)
class Drill:
    """Screenings submitted to real processes, and what becomes of them."""

    service: Service
    kept: Backend
    wait: Callable[..., None]

    def undisturbed(self) -> dict[str, Any]:
        """Return the report of each kind of dataset when nothing is amiss."""
        ids = {kind: self.service.submit(kind) for kind in KINDS}
        self.until_ended()
        return {kind: self.verdict(id_) for kind, id_ in ids.items()}

    def until_ended(self) -> None:
        """Wait until nothing is open."""
        self.wait(lambda: self.kept.store.open_screenings() == [], 300)

    def ids(self) -> list[str]:
        """Return every screening that there is or was."""
        with reading(self.kept.engine).connect() as connection:
            return list(connection.execute(select(SCREENINGS.c.id)).scalars())

    def verdict(self, screening_id: str) -> dict[str, Any]:
        """Return a report without its timings."""
        report = json.loads(self.kept.holdings(OPEN).report(screening_id))
        del report["timings"]
        found: dict[str, Any] = report
        return found

    def check(self, accepted: dict[str, str], expected: dict[str, Any]) -> int:
        """Every accepted screening ended once, as undisturbed; return how many did."""
        with reading(self.kept.engine).connect() as connection:
            asked = select(SCREENINGS.c.id, SCREENINGS.c.name, SCREENINGS.c.source)
            listed = connection.execute(asked).all()
            events = select(AUDIT_EVENTS.c.subject, AUDIT_EVENTS.c.action)
            said = connection.execute(events.order_by(AUDIT_EVENTS.c.number)).all()
        assert set(accepted) <= {row.id for row in listed}
        for row in listed:  # those too whose 202 was lost with the process
            of_it = [action for id_, action in said if id_ == row.id]
            assert of_it == ["accepted", "finished"], row.id
            assert row.source is None, row.id
            report = self.verdict(row.id)
            assert report["decision"]["outcome"] == KINDS[row.name][0]
            assert report == expected[row.name], row.id
            self._check_certificate(row.id)
        return len(listed)

    def _check_certificate(self, screening_id: str) -> None:
        """It is that of the report that was kept, and of no other run of the step."""
        kept = self.kept.certificates(OPEN).find(screening_id)
        report = self.kept.holdings(OPEN).report(screening_id)
        assert kept is not None
        said = json.loads(base64.b64decode(json.loads(kept)["payload"]))
        named = {e["name"]: e for e in said["predicate"]["configuration"]}
        digest = hashlib.sha256(report).hexdigest()
        assert named["report"]["digest"] == {"sha256": digest}, screening_id

    def told(self, receiver: "Receiver") -> dict[str, set[str]]:
        """Wait until all is delivered; return the ids of messages by their subject."""

        def left() -> int:
            with reading(self.kept.engine).connect() as connection:
                open_ = DELIVERIES.c.state != "delivered"
                asked = select(func.count()).select_from(DELIVERIES).where(open_)
                return int(connection.execute(asked).scalar_one())

        self.wait(lambda: left() == 0, 120)
        found: dict[str, set[str]] = {}
        for headers, body in receiver.got:
            subject = json.loads(body)["data"]["id"]
            found.setdefault(subject, set()).add(headers["webhook-id"])
        return found

    def trainings_begun(self) -> int:
        """Count the trainings that any process began."""
        tuned = (self.kept.settings.data_dir / "tuned.log").read_text().split("\n")
        return sum(line.startswith("begun ") for line in tuned)


@pytest.fixture
def drill(service: Service, kept: Backend, wait: Callable[..., None]) -> Drill:
    return Drill(service, kept, wait)
