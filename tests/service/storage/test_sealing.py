"""What is kept is unreadable without its key, and whole with it."""

import base64
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from detectors.errors import InputError
from service.api.app import create_app
from service.models import Models
from service.settings import Settings
from service.storage.objects import ObjectStore
from service.storage.sealing import (
    CHUNK_BYTES,
    HEADER_BYTES,
    Seal,
    Unsealable,
    load_seal,
)

KEY, OTHER = bytes(range(32)), bytes(32)
SIZES = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES)


def written(seal: Seal, content: bytes, block: int) -> bytes:
    """Seal by a file, block by block."""
    target = io.BytesIO()
    file = seal.writer(target)
    for at in range(0, len(content), block):
        file.write(content[at : at + block])
    file.finish()
    return target.getvalue()


@pytest.mark.parametrize("size", SIZES)
def test_content_of_any_size_comes_back(size: int) -> None:
    seal, content = Seal([KEY]), os.urandom(size)
    for sealed in (seal.seal(content), written(seal, content, 10_000)):
        if size >= 50:  # a single byte is found by chance
            assert content[:50] not in sealed[HEADER_BYTES:]
        assert seal.open(sealed) == content
        pieces = (sealed[at : at + 777] for at in range(0, len(sealed), 777))
        assert b"".join(seal.opened(pieces)) == content


def test_no_two_sealings_are_alike() -> None:
    seal = Seal([KEY])
    assert seal.seal(b"the same") != seal.seal(b"the same")


def test_what_was_changed_moved_or_cut_off_is_not_opened() -> None:
    seal = Seal([KEY])
    sealed = seal.seal(os.urandom(3 * CHUNK_BYTES))
    chunk = CHUNK_BYTES + 16
    first, second = HEADER_BYTES, HEADER_BYTES + chunk
    swapped = (
        sealed[:first]
        + sealed[second : second + chunk]
        + sealed[first:second]
        + sealed[second + chunk :]
    )
    flipped = bytearray(sealed)
    flipped[-1] ^= 1
    salted = bytearray(sealed)
    salted[HEADER_BYTES - 1] ^= 1
    for wrong in (
        bytes(flipped),
        bytes(salted),
        swapped,
        sealed[: second + chunk],  # the last chunk is missing
        sealed[:-5],
        sealed[:HEADER_BYTES],
        sealed + b"more",
    ):
        with pytest.raises(Unsealable, match="changed or cut off"):
            seal.open(wrong)


def test_keys_are_changed_without_losing_what_there_is() -> None:
    old = Seal([KEY]).seal(b"before")
    both = Seal([OTHER, KEY])
    assert both.open(old) == b"before"
    assert Seal([OTHER]).open(both.seal(b"now")) == b"now"
    with pytest.raises(Unsealable, match="key that is not set") as caught:
        Seal([OTHER]).open(old)
    assert caught.value.code == "unreadable_object"


@pytest.mark.parametrize(
    "keys", ["short", "!" * 44, base64.b64encode(KEY[:31]).decode()]
)
def test_what_is_no_key_is_named_and_not_shown(keys: str) -> None:
    with pytest.raises(InputError, match="TUNEGATE_ENCRYPTION_KEYS") as raised:
        load_seal(keys)
    assert keys not in str(raised.value)
    assert load_seal("") is None


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_store_seals_whatever_it_keeps(tmp_path: Path, kind: str) -> None:
    url = str(tmp_path / "o") if kind == "file" else f"memory://{tmp_path.name}"
    plain = ObjectStore(url)
    plain.put("before", b"in the clear")
    sealing = ObjectStore(url, seal=Seal([KEY]))
    content = b"the words of a customer" * 10_000
    sealing.put("a/put", content)
    with sealing.writing("a/written") as file:
        for at in range(0, len(content), 1_000):
            file.write(content[at : at + 1_000])
    sealing.move("a/written", "a/moved")
    for key in ("a/put", "a/moved"):
        assert b"words" not in plain.get(key)
        assert sealing.get(key) == content
        with sealing.as_file(key) as path:
            assert path.read_bytes() == content
        assert not path.exists()
    assert sealing.get("before") == b"in the clear"
    with pytest.raises(FileNotFoundError), sealing.as_file("none"):
        pass


def test_nothing_of_a_screening_lies_in_the_clear(
    settings: Settings,
    models: Models,
    runner: Any,
    row: Any,
    wait: Callable[..., None],
) -> None:
    keys = base64.b64encode(KEY).decode()
    asked = Settings.model_validate({**settings.model_dump(), "encryption_keys": keys})
    with TestClient(create_app(asked, load=lambda: models, runner=runner)) as client:
        lines = [json.dumps(row(f"secret words {n} BAD")) for n in range(12)]
        file = {"file": ("data.jsonl", "\n".join(lines))}
        made = client.post("/v1/screenings", files=file).json()
        wait(lambda: client.get(made["links"]["self"]).json()["status"] == "finished")
        report = client.get(made["links"]["report"]).json()
    assert report["decision"]["outcome"] == "REJECT"
    assert "secret words" in str(report["findings"])
    kept = [p for p in settings.data_dir.rglob("*") if p.is_file()]
    assert len([p for p in kept if "objects" in p.parts]) > 5
    for path in kept:
        assert b"secret words" not in path.read_bytes(), path.name
