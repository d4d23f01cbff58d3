"""A dataset is rows, a URL, or one that is here already."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.api.context import context_of
from service.caller import SCOPES
from service.models import Models
from service.settings import Settings
from service.sources import Sources, SourcesBusy

V1 = "/v1/screenings"
LINE = b'{"prompt": "Where is my parcel?", "completion": "On its way."}\n'
URL = "https://data.example.com/folder/rows.jsonl?signature=secret"


@pytest.fixture
def client(
    settings: Settings, models: Models, runner: Any, wait: Callable[..., None]
) -> Iterator[TestClient]:
    """Serve with a web of one file."""

    def answer(request: httpx.Request) -> httpx.Response:
        good = request.url.path == "/folder/rows.jsonl"
        content = httpx.ByteStream(LINE * 20 if good else b"")
        return httpx.Response(200 if good else 404, stream=content)

    def sources(settings: Settings, datasets: Any) -> Sources:
        return Sources(
            settings,
            datasets,
            resolve=lambda host, port: ["93.184.215.14"],
            transport=httpx.MockTransport(answer),
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.api.app.Sources", sources)
        app = create_app(settings, load=lambda: models, runner=runner)
        with TestClient(app, raise_server_exceptions=False) as client:
            wait(lambda: client.get("/readyz").status_code == 200)
            yield client


def finish(client: TestClient, wait: Callable[..., None], answer: Any) -> Any:
    assert answer.status_code == 202, answer.text
    here = answer.headers["location"]
    wait(lambda: client.get(here).json()["status"] in ("finished", "failed"))
    return client.get(here).json()


def test_a_dataset_is_fetched_and_then_named_by_its_digest(
    client: TestClient, wait: Callable[..., None], settings: Settings
) -> None:
    done = finish(client, wait, client.post(V1, json={"url": URL}))
    assert (done["status"], done["name"]) == ("finished", "rows.jsonl")
    digest = hashlib.sha256(LINE * 20).hexdigest()
    report = client.get(done["links"]["report"]).json()
    assert report["dataset"]["sha256"] == digest
    assert "secret" not in str(report)

    named = {"sha256": digest, "name": "again", "run_trial": False}
    again = finish(client, wait, client.post(V1, json=named))
    assert (again["status"], again["name"]) == ("finished", "again")
    client.delete(done["links"]["self"])
    third = finish(client, wait, client.post(V1, json=named))
    for each in (again, third):
        client.delete(each["links"]["self"])
    answer = client.post(V1, json=named)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_dataset")
    objects = settings.data_dir / "objects"
    assert [each for each in objects.rglob("*") if each.is_file()] == []


def test_a_digest_names_nothing_of_another_tenants(
    client: TestClient, wait: Callable[..., None]
) -> None:
    finish(client, wait, client.post(V1, json={"url": URL}))
    keys = context_of(client.app).backend.keys
    other = keys.create("other", "k", frozenset(SCOPES))[1]
    named = {"sha256": hashlib.sha256(LINE * 20).hexdigest()}
    headers = {"Authorization": f"Bearer {other}"}
    answer = client.post(V1, json=named, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_dataset")


UNFIT: list[tuple[Any, str, str]] = [
    ({"url": "https://data.example.com/none"}, "source_unavailable", "404"),
    ({"url": "http://data.example.com/x"}, "invalid_input", "FETCH_SOURCES"),
    ({"url": "s3://bucket/x"}, "invalid_input", "FETCH_SOURCES"),
    ({"url": ""}, "invalid_request", "url"),
    ({"url": URL, "rows": [{}]}, "invalid_request", "just one"),
    ({"name": "nothing"}, "invalid_request", "just one"),
    ({"sha256": "9F" * 32}, "invalid_request", "sha256"),
    ({"sha256": "9f" * 32 + "\n"}, "invalid_request", "sha256"),
]


def test_an_origin_that_is_not_right_is_named(
    client: TestClient, settings: Settings
) -> None:
    for asked, code, said in UNFIT:
        answer = client.post(V1, json=asked)
        assert (answer.status_code, answer.json()["code"]) == (422, code), asked
        assert said in answer.json()["detail"], asked
        assert list((settings.data_dir / "objects").rglob("incoming/*")) == []


def test_nothing_is_fetched_for_what_is_refused_anyway(client: TestClient) -> None:
    asked = {"url": "https://data.example.com/none", "recipe": {"epochs": 10_000}}
    answer = client.post(V1, json=asked)
    assert answer.json()["code"] == "invalid_input"
    assert "epochs" in answer.json()["detail"]


def test_too_many_fetches_are_told_to_wait(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(self: Sources, url: str, tenant: str) -> Any:
        raise SourcesBusy

    monkeypatch.setattr(Sources, "fetch", busy)
    answer = client.post(V1, json={"url": URL})
    assert (answer.status_code, answer.json()["code"]) == (503, "fetches_busy")
    assert answer.headers["retry-after"]


def test_the_url_is_kept_nowhere(
    client: TestClient, wait: Callable[..., None], settings: Settings
) -> None:
    """It may hold a signature that opens a bucket."""
    finish(client, wait, client.post(V1, json={"url": URL}))
    files = [path for path in settings.data_dir.rglob("*") if path.is_file()]
    assert files
    assert not any(b"signature=secret" in Path(each).read_bytes() for each in files)
