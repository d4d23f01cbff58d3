import hashlib
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi import Request
from fastapi.testclient import TestClient

from service.api.multipart import WRITE_BYTES, stored_form
from service.settings import Settings
from service.storage.datasets import Datasets, Incoming
from service.storage.objects import ObjectStore, StoreUnavailable
from tests.service.api.exchange import left

V1 = "/v1/screenings"
HEADERS = {"content-type": "multipart/form-data; boundary=b"}


def part(disposition: str, content: str = "x") -> str:
    return f"--b\r\ncontent-disposition: form-data; {disposition}\r\n\r\n{content}\r\n"


FILE = part('name="file"; filename="f"')
CASES = {
    "no end": (FILE, 400, "breaks off"),
    "no part": ("--b--\r\n", 422, "the dataset is missing"),
    "no form": ("nothing at all", 400, "not valid"),
    "no name": (part("") + "--b--", 422, "'' is no field"),
    "two files": (FILE + FILE + "--b--", 422, "at most 1"),
    "a field twice": (part('name="name"') * 2 + "--b--", 422, "name: it stands twice"),
    "a file of text": (part('name="file"') + "--b--", 422, "expected a file"),
    "a field as file": (
        part('name="policy"; filename="f"') + "--b--",
        422,
        "policy: expected text, not a file: curl -F 'policy=<FILE' sends it",
    ),
}


def test_a_form_that_is_not_right_leaves_nothing_behind(
    client: TestClient, settings: Settings
) -> None:
    for (case, (text, status, said)), size in product(CASES.items(), (1, 7, 10_000)):
        sent = (text[at : at + size].encode() for at in range(0, len(text), size))
        answer = client.post(V1, content=sent, headers=HEADERS)
        assert answer.status_code == status, (case, answer.text)
        assert said in answer.json()["detail"], case
        assert left(settings) == [], case
    assert client.get(V1).json()["data"] == []


@pytest.mark.parametrize("content", ["\x00", "\xff"])
def test_a_field_that_is_no_text_is_named(
    untouched_client: TestClient, content: str
) -> None:
    form = FILE.encode() + part('name="recipe"', content).encode("latin-1")
    answer = untouched_client.post(V1, content=form + b"--b--", headers=HEADERS)
    assert answer.status_code in (400, 422)
    assert answer.json()["code"] in ("invalid_request", "invalid_json")


def test_a_form_without_a_boundary_is_refused(untouched_client: TestClient) -> None:
    for kind in ("multipart/form-data", f"multipart/form-data; boundary={'x' * 999}"):
        answer = untouched_client.post(V1, content=b"x", headers={"content-type": kind})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_form")


def test_a_file_is_written_as_it_arrives(tmp_path: Path) -> None:
    """All but a block of what has arrived is in the store before the rest is sent."""
    datasets, block, count = Datasets(ObjectStore(str(tmp_path))), b"x" * 65_536, 80
    behind: list[int] = []

    async def receive() -> dict[str, Any]:
        sent = len(behind) + 1
        if sent <= count:
            stored = sum(path.stat().st_size for path in tmp_path.rglob("incoming/*"))
            behind.append((sent - 1) * len(block) - stored)
            head = FILE.encode().removesuffix(b"x\r\n") if sent == 1 else b""
            return {"type": "http.request", "body": head + block, "more_body": True}
        return {"type": "http.request", "body": b"\r\n--b--\r\n", "more_body": False}

    async def read() -> None:
        headers = [(b"content-type", HEADERS["content-type"].encode())]
        request = Request({"type": "http", "headers": headers}, receive)
        async with stored_form(request, datasets, fields=(), max_files=1) as form:
            digest = hashlib.sha256(block * count).hexdigest()
            (file,) = form.files
            assert (file.filename, file.upload.digest) == ("f", digest)
            assert file.upload.size_bytes == count * len(block)

    anyio.run(read)
    assert max(behind) <= 2 * WRITE_BYTES


def test_a_store_that_is_full_is_503_and_leaves_nothing(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Incoming, block: bytes) -> None:
        raise StoreUnavailable("no space left")

    monkeypatch.setattr(Incoming, "write", full)
    answer = client.post(V1, files={"file": ("f", b"x")})
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert answer.headers["retry-after"]
    assert left(settings) == []


def test_what_a_disk_refuses_is_named_and_removed(tmp_path: Path) -> None:
    incoming = Datasets(ObjectStore(str(tmp_path))).incoming()
    incoming.write(b"some")
    with Path("/dev/full").open("wb", buffering=0) as full:
        incoming._file = full
        with pytest.raises(StoreUnavailable, match="OSError"):
            incoming.write(b"more")
    incoming.abort()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
