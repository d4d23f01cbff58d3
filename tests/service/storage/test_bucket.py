"""What a bucket does that a folder does not, over S3's own protocol."""

import threading
import time
from typing import Any

import pytest

from service.storage.datasets import BLOCK_BYTES, Datasets
from service.storage.objects import ObjectStore
from service.storage.sealing import Seal


@pytest.fixture
def bucket(s3: Any) -> str:
    made: str = s3.bucket()
    return made


@pytest.fixture
def store(bucket: str) -> ObjectStore:
    return ObjectStore(f"s3://{bucket}/store", first_wait_seconds=0.05)


def test_what_other_processes_write_and_remove_is_seen_at_once(
    store: ObjectStore, s3: Any, bucket: str
) -> None:
    store.put("datasets/old", b"1")
    assert store.keys("datasets") == ["datasets/old"]
    s3.put(f"{bucket}/store/datasets/new", b"2")
    s3.remove(f"{bucket}/store/datasets/old")
    assert store.exists("datasets/new")
    assert not store.exists("datasets/old")


@pytest.mark.parametrize("sealed", [False, True])
def test_an_object_of_several_parts_is_whole(
    s3: Any, bucket: str, sealed: bool
) -> None:
    seal = Seal([bytes(range(32))]) if sealed else None
    store = ObjectStore(f"s3://{bucket}/store", seal=seal)
    blocks = [bytes([n]) * BLOCK_BYTES for n in range(60)]
    with store.writing("a") as file:
        for block in blocks:
            file.write(block)
    with store.as_file("a") as path:
        assert path.read_bytes() == b"".join(blocks)
    assert s3.keys(bucket) == ["store/a"]


def test_an_upload_that_is_given_up_leaves_no_object_and_no_parts(
    store: ObjectStore, s3: Any, bucket: str
) -> None:
    incoming = Datasets(store).incoming()
    for _ in range(60):
        incoming.write(bytes(BLOCK_BYTES))
    incoming.abort()
    assert s3.keys(bucket) == []
    assert "<UploadId>" not in s3.ask("GET", f"{bucket}?uploads")


def test_a_server_that_is_started_again_is_waited_for(
    store: ObjectStore, s3: Any
) -> None:
    store.put("a", b"1")
    s3.tell("stop")
    timer = threading.Timer(1.0, s3.tell, ["start"])
    timer.start()
    try:
        began = time.monotonic()
        assert store.get("a") == b"1"
        assert time.monotonic() - began > 0.8
    finally:
        timer.join()
        assert not s3.away
