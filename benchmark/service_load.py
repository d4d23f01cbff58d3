"""Many screenings at once over HTTP: losses, time to accept, memory.

One API process that only takes orders and one worker process, both started as an
operator starts them; detectors alone. Every client posts its share one after the other,
all clients begin at the same moment, and the worker works meanwhile. With `--postgres`
over a fresh database of that server, else over SQLite.

Exit 1, once the record is written, where a screening was refused, lost or failed, or
the slowest hundredth waited half a second or more for its 202. What the clock leaves
queued is counted, and no fault: it says how fast the worker is.
"""

import argparse
import json
import math
import os
import secrets
import signal
import socket
import statistics
import subprocess  # nosec B404
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from benchmark.records.experiment import record

COMMAND: Final = "python -m benchmark.service_load"
PATH: Final = "/v1/screenings"
START_SECONDS: Final = 120.0
POLL_SECONDS: Final = 1.0
OVER: Final = ("finished", "failed")
MOST_ACCEPT_SECONDS: Final = 0.5
"""What the 99th hundredth of the times to a 202 must stay below."""


@dataclass(frozen=True, slots=True)
class Posted:
    """An answer to a submission; `id` is "" where it was not accepted."""

    id: str
    seconds: float


def dataset(number: int, rows: int) -> bytes:
    """Return a JSONL file of ordinary support rows, none of them in another file."""
    return b"".join(_row(f"{number}-{row}") for row in range(rows))


def _row(order: str) -> bytes:
    said = {
        "prompt": f"Where is the parcel of my order {order}?",
        "completion": f"Order {order} left our warehouse and arrives on Thursday.",
    }
    return json.dumps(said).encode("ascii") + b"\n"


class Service:
    """The API and the worker as processes of their own."""

    def __init__(self, folder: Path, database_url: str, most: int) -> None:
        self.url = f"http://127.0.0.1:{_free_port()}"
        self._folder = folder
        self._settings = {
            "TUNEGATE_DATA_DIR": str(folder),
            "TUNEGATE_DATABASE_URL": database_url,
            "TUNEGATE_PORT": self.url.rsplit(":", 1)[1],
            "TUNEGATE_RUN_TRIAL": "false",
            "TUNEGATE_MAX_QUEUED": str(most),
            "TUNEGATE_MAX_KEPT": str(most),
            "HF_HUB_OFFLINE": "1",
        }
        api = {"TUNEGATE_QUEUES": "[]", "TUNEGATE_SCAN_MAX_ROWS": "0"}
        self.api = self._start("api", ["serve"], api)
        self._wait_until_ready()
        self.worker = self._start("worker", ["worker", "--queues", "detect"], {})

    def _start(
        self, name: str, command: list[str], more: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        tunegate = Path(sys.executable).with_name("tunegate")
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(  # nosec B603  # our own command
                [tunegate, *command],
                env={**os.environ, **self._settings, **more},
                stdout=log,
                stderr=log,
            )

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.2)
        raise SystemExit(f"the API does not start: {self._folder / 'api.log'}")

    def stop(self) -> None:
        """End both as an operator does."""
        for process in (self.api, self.worker):
            process.send_signal(signal.SIGTERM)
        for process in (self.api, self.worker):
            process.wait(60)


def peak_mebibytes(process: subprocess.Popen[bytes]) -> float:
    """Return the most memory a process has held, resident, in MiB (Linux)."""
    status = Path(f"/proc/{process.pid}/status").read_text("ascii")
    line = next(each for each in status.splitlines() if each.startswith("VmHWM:"))
    return round(int(line.split()[1]) / 1024, 1)


def submit(service: Service, clients: int, files: Sequence[bytes]) -> list[Posted]:
    """Post every file, by all clients at once; return what was answered."""
    begin = threading.Barrier(clients)

    def client(place: int) -> list[Posted]:
        with httpx.Client(base_url=service.url, timeout=120) as http:
            begin.wait()
            numbers = range(place, len(files), clients)
            return [_post(http, f"{each}.jsonl", files[each]) for each in numbers]

    with ThreadPoolExecutor(clients) as pool:
        return [each for part in pool.map(client, range(clients)) for each in part]


def _post(http: httpx.Client, name: str, file: bytes) -> Posted:
    began = time.perf_counter()
    try:
        answer = http.post(PATH, files={"file": (name, file)})
    except httpx.TransportError as error:
        print(f"not answered: {type(error).__name__}")
        return Posted("", time.perf_counter() - began)
    seconds = time.perf_counter() - began
    if answer.status_code != 202:
        print(f"not accepted: {answer.text[:200]}")
        return Posted("", seconds)
    return Posted(str(answer.json()["id"]), seconds)


def follow(
    service: Service, ids: Sequence[str], seconds: float
) -> dict[str, dict[str, Any]]:
    """Return how each screening stands when all are over, or the time is."""
    end, found = time.monotonic() + seconds, dict[str, dict[str, Any]]()
    with httpx.Client(base_url=service.url, timeout=60) as http:
        while True:
            for each in ids:
                if found.get(each, {}).get("status") not in OVER:
                    answer = http.get(f"{PATH}/{each}")
                    if answer.status_code == 200:
                        found[each] = answer.json()
                    if found.get(each, {}).get("status") == "queued":
                        break  # those after it wait too
            over = sum(each["status"] in OVER for each in found.values())
            if over == len(ids) or time.monotonic() > end:
                return {**_rest(http, ids, found), **found}
            time.sleep(POLL_SECONDS)


def _rest(
    http: httpx.Client, ids: Sequence[str], found: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Ask for those not asked for yet: they must be listed."""
    answers = {each: http.get(f"{PATH}/{each}") for each in ids if each not in found}
    return {k: a.json() for k, a in answers.items() if a.status_code == 200}


@contextmanager
def database(server: str) -> Iterator[str]:
    """Give the URL of a fresh database of a PostgreSQL server; "" for SQLite."""
    if not server:
        yield ""
        return
    import psycopg
    from psycopg.sql import SQL, Identifier

    name = Identifier(f"tunegate_load_{secrets.token_hex(4)}")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(name))
        try:
            yield f"{server.rsplit('/', 1)[0]}/{name.as_string().strip(chr(34))}"
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def measure(options: argparse.Namespace, folder: Path, url: str) -> dict[str, Any]:
    """Run the load once, and say what came of it."""
    files = [dataset(number, options.rows) for number in range(options.screenings)]
    service = Service(folder, url, options.screenings)
    try:
        began = time.monotonic()
        idle = peak_mebibytes(service.api)
        posted = submit(service, options.clients, files)
        submitted = time.monotonic() - began
        ids = [each.id for each in posted if each.id]
        stand = follow(service, ids, options.seconds - submitted)
        total = time.monotonic() - began
        memory = {
            "api_idle": idle,
            "api_peak": peak_mebibytes(service.api),
            "worker_peak": peak_mebibytes(service.worker),
        }
    finally:
        service.stop()
    return results(posted, stand, submitted, total, memory)


def results(
    posted: Sequence[Posted],
    stand: dict[str, dict[str, Any]],
    submitted: float,
    total: float,
    memory: dict[str, float],
) -> dict[str, Any]:
    """Put the measurement in figures; seconds and MiB."""
    accepted = {each.id for each in posted if each.id}
    states = [each["status"] for each in stand.values()]
    return {
        "accepted": len(accepted),
        "refused": len(posted) - len(accepted),
        "lost": len(accepted - stand.keys()),
        "screened_to_the_end": states.count("finished"),
        "failed": states.count("failed"),
        "running_at_the_end": states.count("running"),
        "queued_at_the_end": states.count("queued"),
        "accept_seconds": _hundredths([e.seconds for e in posted if e.id]),
        "submitted_seconds": round(submitted, 1),
        "total_seconds": round(total, 1),
        "memory_mebibytes": memory,
    }


def _hundredths(seconds: Sequence[float]) -> dict[str, float]:
    """Return the middle, the 99th hundredth and the most; {} of fewer than two."""
    if len(seconds) < 2:
        return {}
    found = statistics.quantiles(seconds, n=100, method="inclusive")
    parts = {"p50": found[49], "p99": found[98], "max": max(seconds)}
    return {name: round(value, 4) for name, value in parts.items()}


def faults(found: dict[str, Any]) -> list[str]:
    """Say what of the results must not be."""
    kinds = ("refused", "lost", "failed")
    said = [f"{found[kind]} {kind}" for kind in kinds if found[kind]]
    p99 = found["accept_seconds"].get("p99", math.inf)
    if p99 >= MOST_ACCEPT_SECONDS:
        said.append(f"p99 of the 202 is {p99} s, not below {MOST_ACCEPT_SECONDS} s")
    return said


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write benchmark/results/service_load_<database>.json."""
    parser = argparse.ArgumentParser(COMMAND, description=__doc__)
    parser.add_argument("--screenings", type=int, default=200)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=600.0, help="bound of the run")
    parser.add_argument(
        "--postgres", default="", help="postgresql://user@host/postgres"
    )
    parser.add_argument("--results", type=Path, help="write elsewhere (for a try)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, database(options.postgres) as url:
        found = measure(options, Path(folder), url)
    kind = "postgres" if options.postgres else "sqlite"
    done = record(
        f"service_load_{kind}",
        command=COMMAND + (" --postgres URL" if options.postgres else ""),
        data=[],
        config={
            name: getattr(options, name)
            for name in ("screenings", "rows", "clients", "seconds")
        },
        seconds=found["total_seconds"],
        results=found,
    )
    path = done.write(options.results) if options.results else done.write()
    print(json.dumps(found, indent=1))
    print(path.name)
    for fault in faults(found):
        print(f"FAILED: {fault}")
    return 1 if faults(found) else 0


if __name__ == "__main__":
    raise SystemExit(main())
