"""Datasets in buckets and on the hub: S3 by its own protocol, the hub by a fake."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from detectors.errors import InputError
from service.jobs import ingest
from service.settings import Settings
from service.sources import SourceError, Sources
from service.storage.datasets import Datasets, Link, Upload
from service.storage.objects import ObjectStore

ROWS = b'{"prompt": "Where is my parcel?", "completion": "On its way."}\n' * 50
PLACES = ("s3://{tenant}/", "s3://shared/{tenant}/", "hf://datasets/{tenant}/")
S3 = "s3://acme/a.jsonl"
HUB = "hf://datasets/acme/name/rows.jsonl"


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., Upload]:
    """Return a function that fetches a URL for a tenant, the settings as given."""

    def run(url: str, **given: Any) -> Upload:
        options = {"fetch_sources": PLACES, "min_free_bytes": 0, **given}
        datasets = Datasets(ObjectStore(str(tmp_path)))
        sources = Sources(Settings(data_dir=tmp_path, **options), datasets, waits=())
        return anyio.run(sources.fetch, url, "acme")

    return run


def left(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def buckets(s3: Any) -> Any:
    """Fill a bucket of each of two tenants, and one of both."""
    for name in ("acme", "other", "shared"):
        s3.ask("PUT", name)
    for path in ("acme/a.jsonl", "other/a.jsonl", "shared/acme/a", "shared/other/a"):
        s3.put(path, ROWS)
    return s3


@pytest.mark.parametrize("url", [S3, "s3://shared/acme/a"])
def test_a_bucket_of_the_tenants_is_read(
    fetch: Any, buckets: Any, tmp_path: Path, url: str
) -> None:
    assert fetch(url).size_bytes == len(ROWS)
    assert left(tmp_path) == [ROWS]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://other/a.jsonl", "not fetched from there"),
        ("s3://shared/other/a", "not fetched from there"),
        ("s3://shared/a", "not fetched from there"),
        ("s3://acme/../other/a.jsonl", "can mislead"),
        ("s3://shared/acme/%2e%2e/other/a", "can mislead"),
        ("s3://acme//other", "can mislead"),
        ("s3://acme/a.jsonl::s3://other/a.jsonl", "can mislead"),
        ("s3://acme/*", "can mislead"),
        ("s3://acme/none.jsonl", "FileNotFoundError"),
    ],
)
def test_a_bucket_gives_nothing_else(
    fetch: Any, buckets: Any, tmp_path: Path, url: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        fetch(url)
    assert left(tmp_path) == []


def test_an_object_over_the_limit_is_not_read(fetch: Any, buckets: Any) -> None:
    with pytest.raises(SourceError, match="over 100 bytes") as caught:
        fetch(S3, max_upload_bytes=100)
    assert caught.value.code == "source_too_large"


def test_an_object_that_was_replaced_is_fetched_anew(fetch: Any, buckets: Any) -> None:
    buckets.put("acme/changing", b"old")
    assert fetch("s3://acme/changing").size_bytes == 3
    buckets.put("acme/changing", b"longer")
    assert fetch("s3://acme/changing").size_bytes == 6


@pytest.fixture
def silent(buckets: Any) -> Iterator[None]:
    """Have the bucket's server take connections, and say nothing."""
    os.kill(buckets.process.pid, signal.SIGSTOP)
    yield
    os.kill(buckets.process.pid, signal.SIGCONT)


@pytest.mark.usefixtures("silent")
def test_a_bucket_that_says_nothing_is_given_up_in_time(
    fetch: Any, tmp_path: Path
) -> None:
    began = time.monotonic()
    with pytest.raises(SourceError, match="it took longer") as caught:
        fetch(S3, fetch_seconds=0.3)
    assert time.monotonic() - began < 2
    assert (caught.value.code, left(tmp_path)) == ("source_timeout", [])


class Unwanted(Exception):
    """What a fetch is for is over."""


@pytest.mark.usefixtures("silent")
def test_a_bucket_that_says_nothing_is_left_once_the_fetch_is_unwanted(
    tmp_path: Path,
) -> None:
    def check() -> None:
        raise Unwanted

    settings = Settings(fetch_sources=PLACES, data_dir=tmp_path)
    sources = Sources(settings, Datasets(ObjectStore(str(tmp_path))), waits=())
    began = time.monotonic()
    with pytest.raises(Unwanted):
        ingest.fetch(sources, Link(S3), "acme", check)
    assert time.monotonic() - began < 3
    assert left(tmp_path) == []


FETCH = """
import sys, anyio
from service.settings import Settings
from service.sources import SourceError, Sources
from service.storage.datasets import Datasets
from service.storage.objects import ObjectStore
datasets = Datasets(ObjectStore(sys.argv[1]))
for seconds in (30.0, 0.3):
    settings = Settings(fetch_sources=("s3://acme/",), fetch_seconds=seconds)
    sources = Sources(settings, datasets, waits=())
    try:
        found = anyio.run(sources.fetch, "s3://acme/a.jsonl", "acme")
        print(found.size_bytes, flush=True)
        sys.stdin.readline()
    except SourceError as error:
        print(error.code, flush=True)
"""


def test_a_bucket_that_says_nothing_does_not_hold_up_the_end_of_a_process(
    buckets: Any, tmp_path: Path
) -> None:
    command, pipe = [sys.executable, "-c", FETCH, str(tmp_path)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == f"{len(ROWS)}\n"
        os.kill(buckets.process.pid, signal.SIGSTOP)
        try:
            process.stdin.write("go on\n")
            process.stdin.flush()
            assert process.stdout.readline() == "source_timeout\n"
            assert process.wait(10) == 0
        finally:
            os.kill(buckets.process.pid, signal.SIGCONT)
            process.kill()


class Hub(MemoryFileSystem):
    """A hub that is slow where it is told to, and remembers what it did not find."""

    store: dict[str, Any] = {}  # noqa: RUF012  # as its parent has it
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()
        self.sized = True
        self.missing: set[str] = set()

    def size(self, path: str) -> int | None:
        if path in self.missing or not self.exists(path):
            self.missing.add(path)
            raise FileNotFoundError(path)
        return int(super().size(path)) if self.sized else None

    def invalidate_cache(self, path: str | None = None) -> None:
        self.missing.clear()

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        self.go.wait(30)
        return super().open(path, mode, **options)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Have hf:// lead to a fake."""
    made = Hub()
    real = fsspec.filesystem
    monkeypatch.setattr(
        fsspec, "filesystem", lambda name, **o: made if name == "hf" else real(name)
    )
    yield made
    made.go.set()
    Hub.store.clear()


def test_a_file_of_the_hub_is_fetched(fetch: Any, hub: Hub, tmp_path: Path) -> None:
    hub.pipe_file("/datasets/acme/name/rows.jsonl", ROWS)
    assert fetch(HUB).size_bytes == len(ROWS)
    assert left(tmp_path) == [ROWS]


@pytest.mark.parametrize("sized", [True, False])
def test_a_file_of_the_hub_is_bounded_in_bytes(
    fetch: Any, hub: Hub, tmp_path: Path, sized: bool
) -> None:
    hub.pipe_file("/datasets/acme/name/rows.jsonl", ROWS)
    hub.sized = sized
    with pytest.raises(SourceError, match="over 100 bytes"):
        fetch(HUB, max_upload_bytes=100)
    assert left(tmp_path) == []


def test_a_hub_that_says_nothing_is_given_up_in_time(
    fetch: Any, hub: Hub, tmp_path: Path
) -> None:
    hub.pipe_file("/datasets/acme/name/rows.jsonl", ROWS)
    hub.go.clear()
    began = time.monotonic()
    with pytest.raises(SourceError) as caught:
        fetch(HUB, fetch_seconds=0.3)
    assert time.monotonic() - began < 2
    assert (caught.value.code, left(tmp_path)) == ("source_timeout", [])


def test_what_was_not_on_the_hub_at_first_is_found_later(fetch: Any, hub: Hub) -> None:
    with pytest.raises(SourceError):
        fetch(HUB)
    hub.pipe_file("/datasets/acme/name/rows.jsonl", ROWS)
    assert fetch(HUB).size_bytes == len(ROWS)


def test_a_client_that_is_not_installed_is_named(fetch: Any) -> None:
    with pytest.raises(InputError, match=r"pip install 'tunegate\[az\]'"):
        fetch("az://acme/a.jsonl", fetch_sources=("az://acme/",))


def test_a_hub_out_of_reach_is_told(
    fetch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    url = "hf://datasets/org/name/rows.jsonl"
    with pytest.raises(SourceError, match="could not be read"):
        fetch(url, fetch_sources=("hf://datasets/",))
