"""Real processes of the service over one database, which can be killed."""

import base64
import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import func, select

sys.path.insert(0, str(Path(__file__).parent))

from processes import KINDS, LINKED, PATCHED, Service, WorkLog, rows_of

from service.caller import OPEN
from service.jobs.backend import Backend, open_backend
from service.settings import Settings
from service.storage.database import reading
from service.storage.tables import AUDIT_EVENTS, DELIVERIES, SCREENINGS

ZYGOTE: Final = Path(__file__).with_name("zygote.py")


@pytest.fixture(scope="session")
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
def moderated(provider: Any, answers: Any, tmp_path: Path) -> dict[str, Any]:
    """Return settings that send every row to a provider, which is a little slow."""

    def answer(number: int, asked: dict[str, Any]) -> Any:
        made = answers.moderations(asked)
        lingers = any("LINGER IN moderate" in text for text in asked["input"])
        made.seconds = 0.4 if lingers else 0.02
        return made

    provider.script = answer
    policy = tmp_path / "policy.yaml"
    policy.write_text("name: all rows\nmoderation:\n  rows: all\n")
    return {
        "policy": str(policy),
        "moderation_provider": "openai",
        "moderation_base_url": provider.url,
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
def roles() -> dict[str, list[str]]:
    """Return the queues of each process that is started."""
    return {"worker": ["ingest", "detect", "trial"], "api": []}


@pytest.fixture
def patched() -> dict[str, Any]:
    """Return the constants of the processes that are not as shipped."""
    return PATCHED


@pytest.fixture
def service(
    zygote: subprocess.Popen[str],
    served: dict[str, Any],
    roles: dict[str, list[str]],
    patched: dict[str, Any],
    kept: Backend,
    files: "Files",
) -> Iterator[Service]:
    made = Service(zygote, served, patched, files.url("/slow"))
    for role, queues in roles.items():
        made.start(role, queues)
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
    log: WorkLog

    def undisturbed(self, kinds: Sequence[str] = ()) -> dict[str, Any]:
        """Return the report of each kind of dataset when nothing is amiss."""
        ids = {kind: self.service.submit(kind) for kind in kinds or KINDS}
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
        del report["timings"], report["moderation"]["seconds"]
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


@pytest.fixture
def drill(
    service: Service, kept: Backend, wait: Callable[..., None], tmp_path: Path
) -> Drill:
    return Drill(service, kept, wait, WorkLog(tmp_path / "work.log"))
