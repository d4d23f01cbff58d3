"""A real process that serves: how it stops, and how much memory it takes."""

import gzip
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.caller import SCOPES
from service.jobs.backend import open_backend
from service.settings import Settings

V1 = "/v1/screenings"
LINE = b'{"prompt": "Where is my parcel?", "completion": "On its way."}\n'


TUNEGATE = [str(Path(sys.executable).with_name("tunegate")), "serve"]
FAKES = [sys.executable, str(Path(__file__).with_name("serve_fakes.py"))]
"""The same service with the fake models of the tests, so that it works too."""


class Served:
    """`tunegate serve`, an API alone if not said otherwise, and a client for it."""

    def __init__(self, folder: Path, command: list[str], **settings: str) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        own = {
            "DATA_DIR": str(folder),
            "PORT": str(port),
            "QUEUES": "[]",
            "SCAN_MAX_ROWS": "0",
            **settings,
        }
        given = {f"TUNEGATE_{name}": value for name, value in own.items()}
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **given},
                stderr=log,
            )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300)

    def ready(self) -> bool:
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            assert self.process.poll() is None, "it ended"
            return False

    def peak_bytes(self) -> int:
        """Return the most memory that the process ever held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [each for each in status.split("\n") if each.startswith("VmHWM")]
        return int(line.split()[1]) * 1024

    def stop(self) -> float:
        """Ask it to stop; return the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        return time.monotonic() - began


@pytest.fixture
def serve(tmp_path: Path, wait: Any) -> Iterator[Callable[..., Served]]:
    """Return a function that starts a server with some settings."""
    made: list[Served] = []

    def start(command: list[str] = TUNEGATE, **settings: str) -> Served:
        made.append(Served(tmp_path, command, **settings))
        wait(made[-1].ready)
        return made[-1]

    yield start
    for served in made:
        served.http.close()
        served.process.kill()
        served.process.wait()


def test_a_stream_of_events_does_not_hold_up_a_stop(
    serve: Callable[..., Served], row: Any
) -> None:
    served = serve()
    made = served.http.post(V1, json={"rows": [row()]}).json()
    begun, said = threading.Event(), []

    def follow() -> None:
        with served.http.stream("GET", made["links"]["events"]) as answer:
            for line in answer.iter_lines():
                said.append(line)
                begun.set()

    follower = threading.Thread(target=follow)
    follower.start()
    assert begun.wait(10)
    assert served.stop() < 4
    follower.join(10)
    assert not follower.is_alive()
    assert "event: progress" in said


def test_a_process_that_only_takes_orders_loads_no_models(
    serve: Callable[..., Served], row: Any
) -> None:
    served = serve()
    scan = served.http.post("/v1/scan", json={"rows": [row()]})
    assert (scan.status_code, scan.json()["code"]) == (404, "scans_off")
    assert served.http.get("/readyz").json()["models"] == {}
    assert served.peak_bytes() < 300 * 2**20


def form(block: bytes, count: int) -> Iterator[bytes]:
    """Give a form whose file is a block so many times."""
    yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'
    for _ in range(count):
        yield block
    yield b"\r\n--b--\r\n"


def tell(capsys: pytest.CaptureFixture[str], said: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{said}\n")


HEADERS = {"content-type": "multipart/form-data; boundary=b"}


@pytest.mark.slow
def test_an_upload_of_2_gb_keeps_the_process_under_400_mb(
    serve: Callable[..., Served], capsys: pytest.CaptureFixture[str]
) -> None:
    served = serve(MAX_UPLOAD_BYTES=str(3 * 2**30))
    block = LINE * (2**20 // len(LINE))
    count = 2 * 2**30 // len(block) + 1
    before, began = served.peak_bytes(), time.monotonic()
    answer = served.http.post(V1, content=form(block, count), headers=HEADERS)
    seconds = time.monotonic() - began
    assert answer.status_code == 202, answer.text
    after = served.peak_bytes()
    tell(
        capsys,
        f"{count * len(block) / 2**30:.2f} GiB in {seconds:.1f} s: peak "
        f"{before / 2**20:.0f} -> {after / 2**20:.0f} MiB",
    )
    assert after < 400 * 10**6


CHAT = b'{"prompt": "Where is my parcel %d?", "completion": "On its way."}'
BODIES = (
    b'{"rows":[' + b'{"a":[]},' * 800_000 + b'{}],"run_trial":false}',
    b'{"rows":[' + b",".join(CHAT % n for n in range(100_000)) + b"]}",
    b'{"rows":[{"text":"' + "\U0001f600".encode() + b"x" * 7_000_000 + b'"}]}',
    b'{"rows":[' + b",".join([b"[" + b"[]," * 30_000 + b"0]"] * 75) + b"]}",
)
"""About 7 MiB each: rows that are large once parsed, ordinary ones, one of wide
characters, and rows of as many values as may be."""


@pytest.mark.parametrize("count", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_many_bodies_at_once_keep_the_process_under_400_mb(
    serve: Callable[..., Served], capsys: pytest.CaptureFixture[str], count: int
) -> None:
    served = serve(MAX_QUEUED="100")
    before, began = served.peak_bytes(), time.monotonic()

    def send(number: int) -> httpx.Response:
        content, headers = BODIES[number % 4], {"content-type": "application/json"}
        return served.http.post(V1, content=content, headers=headers)

    with ThreadPoolExecutor(count) as clients:
        answers = list(clients.map(send, range(count)))
    codes = Counter(answer.status_code for answer in answers)
    after, seconds = served.peak_bytes(), time.monotonic() - began
    tell(
        capsys,
        f"{count} bodies of 7 MB at once, {dict(codes)} in {seconds:.1f} s: peak "
        f"{before / 2**20:.0f} -> {after / 2**20:.0f} MiB",
    )
    assert after < 400 * 10**6
    assert set(codes) <= {202, 429, 503}
    accepted = {each.json()["id"] for each in answers if each.status_code == 202}
    assert accepted
    assert all(int(a.headers["retry-after"]) for a in answers if a.status_code != 202)
    page = served.http.get(V1, params={"limit": 100}).json()
    assert {each["id"] for each in page["data"]} == accepted


def slow_upload(served: Served, key: str) -> socket.socket:
    """Begin an upload, and go no further."""
    base = served.http.base_url
    upload = socket.create_connection((base.host, base.port or 0), timeout=30)
    upload.sendall(
        f"POST {V1} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n"
        "Content-Length: 1000000\r\n\r\n--b\r\n".encode()
    )
    return upload


def test_the_slow_uploads_of_a_tenant_leave_places_for_others(
    serve: Callable[..., Served], tmp_path: Path, row: Any, wait: Any
) -> None:
    served = serve(AUTH="keys", MAX_REQUESTS_AT_ONCE="4")
    backend = open_backend(Settings(data_dir=tmp_path))
    scopes = frozenset(SCOPES)
    slow, other = (backend.keys.create(t, "k", scopes)[1] for t in ("slow", "other"))
    backend.close()
    uploads = [slow_upload(served, slow) for _ in range(4)]
    refused = select.select(uploads, [], [], 30)[0]
    wait(lambda: len(select.select(uploads, [], [], 1)[0]) == 2)
    for upload in refused:
        said = upload.recv(65_536)
        assert said.startswith(b"HTTP/1.1 429 ")
        assert b"tenant_too_busy" in said
    headers = {"Authorization": f"Bearer {other}"}
    answer = served.http.post(V1, json={"rows": [row()]}, headers=headers)
    assert answer.status_code == 202
    for upload in uploads:
        upload.close()


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_a_line_of_1_gb_is_read_in_bounded_memory(
    serve: Callable[..., Served],
    wait: Any,
    capsys: pytest.CaptureFixture[str],
    packed: bool,
) -> None:
    """Plain it is one bad line; packed it is a bomb."""
    limit = str(2 * 2**30)
    served = serve(FAKES, MAX_UPLOAD_BYTES=limit, QUEUES='["detect", "trial"]')
    good = served.http.post(V1, content=form(LINE * 20, 1), headers=HEADERS)
    wait(lambda: status(served, good) == "finished")
    before, began = served.peak_bytes(), time.monotonic()
    blocks = form(b"x" * 2**20, 2**10)
    if packed:
        squeezed = gzip.compress(b"x" * 2**26)
        blocks = form(squeezed, 2**4)
    answer = served.http.post(V1, content=blocks, headers=HEADERS)
    assert answer.status_code == 202, answer.text
    wait(lambda: status(served, answer) in ("finished", "failed"), 120)
    grown, seconds = served.peak_bytes() - before, time.monotonic() - began
    tell(capsys, f"1 GiB line in {seconds:.1f} s: peak +{grown / 2**20:.0f} MiB")
    assert grown < 100 * 2**20
    made = served.http.get(answer.headers["location"]).json()
    if packed:
        assert (made["status"], made["fault"]["code"]) == (
            "failed",
            "unreadable_dataset",
        )
        return
    report = served.http.get(made["links"]["report"]).json()
    assert made["outcome"] == "REVIEW"
    assert [each["line"] for each in report["dataset"]["bad_lines"]] == [1]


def status(served: Served, answer: httpx.Response) -> str:
    found: str = served.http.get(answer.headers["location"]).json()["status"]
    return found
