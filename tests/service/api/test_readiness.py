"""/readyz names what fails: database, storage or models."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from service.api import readiness
from service.api.app import create_app
from service.api.context import context_of, keep_context
from service.models import Models
from service.settings import Settings
from service.storage.objects import ObjectStore

Wait = Callable[..., None]


@pytest.fixture
def quick(
    settings: Settings, models: Models, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """Serve with short waits, and answers that do not stand."""
    monkeypatch.setattr(readiness, "KEPT_SECONDS", 0.0)
    asked = settings.model_copy(update={"ready_seconds": 0.3, "queues": ()})
    with TestClient(create_app(asked, load=lambda: models)) as client:
        wait(lambda: client.get("/readyz").status_code == 200)
        yield client


def amiss(client: TestClient) -> dict[str, str]:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["code"] == "not_ready"
    assert answer.headers["retry-after"]
    return {each["field"]: each["message"] for each in answer.json()["errors"]}


def test_the_probe_leaves_nothing_behind(quick: TestClient, settings: Settings) -> None:
    assert quick.get("/readyz").json()["status"] == "ready"
    assert list((settings.data_dir / "objects" / "probes").iterdir()) == []


def test_a_storage_that_fails_is_named(
    quick: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: ObjectStore) -> None:
        raise PermissionError("secret/path")

    monkeypatch.setattr(ObjectStore, "probe", broken)
    # The check is bound when the app is made: a new one, as a restart would have it.
    context = context_of(quick.app)
    anew = readiness.Readiness(context.backend, 0.3)
    keep_context(quick.app, dataclasses.replace(context, readiness=anew))
    assert amiss(quick) == {"storage": "failed: PermissionError"}


def test_a_folder_that_takes_nothing_is_found_out(
    quick: TestClient, settings: Settings
) -> None:
    probes = settings.data_dir / "objects" / "probes"
    probes.rmdir()
    probes.write_text("a file where the folder should be")
    assert list(amiss(quick)) == ["storage"]
    probes.unlink()
    assert quick.get("/readyz").status_code == 200


def test_what_hangs_is_not_waited_for(
    quick: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    checks = context_of(quick.app).readiness._checks
    monkeypatch.setitem(checks, "storage", lambda: release.wait(20) and None)
    began = time.monotonic()
    said = [amiss(quick) for _ in range(6)]  # more than there are threads for it
    assert time.monotonic() - began < 10
    assert all(each == {"storage": "no answer within 0.3 seconds"} for each in said)
    release.set()


def test_every_part_that_fails_is_named(
    quick: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> Any:
        raise OperationalError("secret", {}, Exception())

    checks = context_of(quick.app).readiness._checks
    monkeypatch.setitem(checks, "database", away)
    context = context_of(quick.app)
    monkeypatch.setattr(context.worker, "models", None)
    monkeypatch.setattr(context.worker, "fault", "weights are missing")
    assert amiss(quick) == {
        "database": "failed: OperationalError",
        "models": "weights are missing",
    }
    assert "secret" not in quick.get("/readyz").text


def test_an_answer_stands_a_while(settings: Settings, models: Models) -> None:
    asked = settings.model_copy(update={"queues": ()})
    with TestClient(create_app(asked, load=lambda: models)) as client:
        client.get("/readyz")
        counted: list[int] = []
        checks = context_of(client.app).readiness._checks
        checks["storage"] = lambda: counted.append(1)
        for _ in range(5):
            client.get("/readyz")
        assert counted == []
