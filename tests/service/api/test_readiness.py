"""/readyz names what fails: database, storage or models."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from service.api import readiness
from service.api.app import create_app
from service.jobs.backend import Backend
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
    quick.app.state.readiness = readiness.Readiness(  # type: ignore[attr-defined]
        quick.app.state.context.backend,  # type: ignore[attr-defined]
        0.3,
    )
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
    checks = quick.app.state.readiness._checks  # type: ignore[attr-defined]
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

    checks = quick.app.state.readiness._checks  # type: ignore[attr-defined]
    monkeypatch.setitem(checks, "database", away)
    context = quick.app.state.context  # type: ignore[attr-defined]
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
        backend: Backend = client.app.state.context.backend  # type: ignore[attr-defined]
        client.get("/readyz")
        counted: list[int] = []
        checks = client.app.state.readiness._checks  # type: ignore[attr-defined]
        checks["storage"] = lambda: counted.append(1)
        for _ in range(5):
            client.get("/readyz")
        assert backend is not None
        assert counted == []
