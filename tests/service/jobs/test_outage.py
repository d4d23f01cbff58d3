"""The database or the object store is away for a while: work pauses, and then ends.

PostgreSQL is cut off by a proxy, SQLite locked; a bucket does not answer, a disk is not
there.
"""

import json
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url, text

from service.storage.database import connect

SECONDS = 33.0
"""Longer than anyone waits for a lock of SQLite."""
V1 = "/v1/screenings"


class Proxy:
    """A TCP proxy before a server, which can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self.port = 0
        self.mend()

    def mend(self) -> None:
        """Take connections."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,)).start()

    def cut(self) -> None:
        """End every connection, and refuse others."""
        assert self._listener is not None
        for each in (self._listener, *self._open):
            with closing(each), suppress(OSError):  # one side may have ended before
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._server)
            self._open += [near, far]
            threading.Thread(target=_pipe, args=(near, far), daemon=True).start()


def _pipe(near: socket.socket, far: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    with selectors.DefaultSelector() as ready:
        ready.register(near, selectors.EVENT_READ, far)
        ready.register(far, selectors.EVENT_READ, near)
        try:
            while True:
                for key, _ in ready.select():
                    source: Any = key.fileobj
                    if not (block := source.recv(65_536)):
                        return
                    key.data.sendall(block)
        except (OSError, ValueError):
            return
        finally:
            for each in (near, far):
                each.close()


class Outage:
    """Takes something away, and gives it back."""

    def __init__(
        self, begin: Callable[[], object], end: Callable[[], object], part: str
    ) -> None:
        self.begin, self.end, self.part = begin, end, part


@pytest.fixture(params=["database", "storage"])
def outage(
    request: pytest.FixtureRequest, database_url: str, tmp_path: Path
) -> Iterator[Outage]:
    """Give what can be taken away, before the processes are started."""
    postgres = database_url.startswith("postgresql")
    if request.param == "storage":
        objects, away = tmp_path / "objects", tmp_path / "objects" / "away"
        objects.mkdir(exist_ok=True)
        if postgres:  # a bucket that does not answer; else a disk that is not there
            yield Outage(away.touch, away.unlink, "storage")
        else:
            hidden = tmp_path / "hidden"
            yield Outage(
                lambda: objects.rename(hidden),
                lambda: hidden.rename(objects),
                "storage",
            )
        return
    if postgres:
        url = make_url(database_url)
        proxy = Proxy(url.host or "", url.port or 5432)
        made = Outage(proxy.cut, proxy.mend, "database")
        made.port = proxy.port  # type: ignore[attr-defined]
        yield made
        proxy.cut()
        return
    engine = connect(make_url(database_url))
    locked = engine.connect()
    yield Outage(lambda: locked.execute(text("SELECT 1")), locked.rollback, "database")
    locked.close()
    engine.dispose()


@pytest.fixture
def served(options: dict[str, Any], outage: Outage) -> dict[str, Any]:
    """Return the settings of processes whose database or storage can be away."""
    changed = dict(options)
    folder = Path(options["data_dir"]) / "objects"
    if outage.part == "storage" and options["database_url"].startswith("postgresql"):
        changed["storage_url"] = f"flaky://{folder}"
    port = getattr(outage, "port", None)
    if port is not None:
        url = make_url(options["database_url"]).set(host="127.0.0.1", port=port)
        changed["database_url"] = url.render_as_string(hide_password=False)
    return changed


def answered(drill: Any) -> httpx.Response | None:
    """Ask for readiness; None where even that gets no answer in time."""
    try:
        found: httpx.Response = drill.service.http.get("/readyz", timeout=8)
    except httpx.TransportError:
        return None
    return found


@pytest.mark.slow
def test_an_outage_of_half_a_minute_costs_nothing_but_time(
    drill: Any, outage: Outage
) -> None:
    expected = drill.undisturbed()
    accepted = {drill.service.submit(kind): kind for kind in list(expected) * 5}
    time.sleep(1.0)
    outage.begin()
    began = time.monotonic()
    time.sleep(6.0)  # longer than an answer of /readyz stands
    told = answered(drill)
    live = drill.service.http.get("/healthz", timeout=8)
    time.sleep(max(0.0, SECONDS - (time.monotonic() - began)))
    outage.end()

    assert live.status_code == 200
    locked = outage.part == "database" and "sqlite" in str(drill.kept.engine.url)
    if not locked:  # a locked SQLite file can still be read
        assert told is not None
        assert told.status_code == 503
        assert outage.part in json.dumps(told.json()["errors"])
    drill.until_ended()
    drill.check(accepted, expected)
    drill.wait(lambda: answered(drill).status_code == 200)  # type: ignore[union-attr]
    more = {drill.service.submit(kind): kind for kind in expected}
    drill.until_ended()
    drill.check(more, expected)
