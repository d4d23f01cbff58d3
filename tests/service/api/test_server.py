"""A real process that serves: how it stops, and how much memory it takes."""

import gzip
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

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
        assert (made["status"], made["fault"]["code"]) == ("failed", "DatasetError")
        return
    report = served.http.get(made["links"]["report"]).json()
    assert made["outcome"] == "REVIEW"
    assert [each["line"] for each in report["dataset"]["bad_lines"]] == [1]


def status(served: Served, answer: httpx.Response) -> str:
    found: str = served.http.get(answer.headers["location"]).json()["status"]
    return found
