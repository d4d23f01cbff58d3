import secrets
from pathlib import Path
from typing import Any

import pytest

from detectors.errors import InputError
from service.storage import objects
from service.storage.objects import ObjectStore, StoreUnavailable


@pytest.fixture(params=["file", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "s3":
        bucket = request.getfixturevalue("s3").bucket()
        return ObjectStore(f"s3://{bucket}/store")
    if request.param == "memory":
        return ObjectStore(f"memory://{secrets.token_hex(6)}")
    return ObjectStore(f"file://{tmp_path / 'objects'}")


def test_objects_are_written_read_moved_and_deleted(store: ObjectStore) -> None:
    store.put("a/one", b"1")
    with store.writing("a/two") as file:
        file.write(b"2")
    assert store.keys("a") == ["a/one", "a/two"]
    assert (store.get("a/one"), store.exists("a/none")) == (b"1", False)
    store.move("a/two", "b/c/three")
    with store.as_file("b/c/three") as path:
        assert path.read_bytes() == b"2"
    store.put("b/c/three", b"3")
    assert store.get("b/c/three") == b"3"
    store.delete("b")
    store.delete("b")
    assert store.keys("b") == []
    assert store.keys("a") == ["a/one"]


def test_a_missing_object_is_an_error_at_once(store: ObjectStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.get("none")
    with pytest.raises(FileNotFoundError), store.as_file("none"):
        pass


@pytest.mark.parametrize("key", ["../x", "a//b", "/etc/passwd", "", "a/./b"])
def test_a_key_cannot_leave_the_store(store: ObjectStore, key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        store.put(key, b"")


@pytest.mark.parametrize("url", ["nosuch://bucket", "gs://bucket/prefix"])
def test_a_store_that_cannot_be_opened_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(InputError, match="TUNEGATE_STORAGE_URL"):
        ObjectStore(url)


def test_a_store_that_comes_back_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore(str(tmp_path), first_wait_seconds=0.001)
    store.put("a", b"1")
    failures = iter([OSError("away"), TimeoutError("away")])
    read = store._fs.cat_file

    def sometimes(path: str) -> bytes:
        for failure in failures:
            raise failure
        content: bytes = read(path)
        return content

    monkeypatch.setattr(store._fs, "cat_file", sometimes)
    assert store.get("a") == b"1"


def test_a_store_that_stays_away_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore(str(tmp_path), first_wait_seconds=0.0001)

    def away(path: str) -> bytes:
        raise OSError("secret path")

    monkeypatch.setattr(store._fs, "cat_file", away)
    with pytest.raises(StoreUnavailable, match="OSError"):
        store.get("a")
    assert objects.ATTEMPTS > 3


class EndpointConnectionError(Exception):
    """What S3's client raises where nobody answers: no OSError."""


EndpointConnectionError.__module__ = "botocore.exceptions"


def test_a_bucket_that_is_away_is_neither_empty_nor_our_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ObjectStore("memory://away", first_wait_seconds=0.0001)
    store.put("there", b"x")
    tried: list[str] = []

    def away(name: str) -> Any:
        def fail(*_: object, **__: object) -> Any:
            tried.append(name)
            raise EndpointConnectionError

        return fail

    for name in ("cat_file", "pipe_file", "info", "find", "mv", "get_file", "rm"):
        monkeypatch.setattr(store._fs, name, away(name))
    for act in (
        lambda: store.get("there"),
        lambda: store.put("new", b"x"),
        lambda: store.exists("there"),
        lambda: store.move("there", "elsewhere"),
        lambda: store.delete("there"),
        lambda: store.keys("there"),
    ):
        tried.clear()
        with pytest.raises(StoreUnavailable):
            act()
        assert len(tried) > 3
    monkeypatch.setattr(store._fs, "open", away("open"))
    with pytest.raises(OSError, match="EndpointConnectionError"), store.writing("new"):
        pass


def test_what_is_wrong_in_our_own_code_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ObjectStore("memory://ours")
    tried: list[int] = []

    def wrong(*_: object) -> bytes:
        tried.append(1)
        raise TypeError

    monkeypatch.setattr(store._fs, "cat_file", wrong)
    with pytest.raises(TypeError):
        store.get("there")
    assert len(tried) == 1
