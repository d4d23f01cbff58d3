"""What tests of the API send, wait for, and hold its problems to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from service.settings import Settings

Write = Callable[..., Path]
Row = Callable[..., dict[str, Any]]
V1 = "/v1/screenings"


def upload(client: TestClient, path: Path, **fields: str) -> Any:
    with path.open("rb") as file:
        return client.post(V1, files={"file": (path.name, file)}, data=fields)


def finish(client: TestClient, wait: Callable[..., None], answer: Any) -> Any:
    assert answer.status_code == 202, answer.text
    here = answer.headers["location"]
    wait(lambda: client.get(here).json()["status"] in ("finished", "failed"))
    return client.get(here).json()


def left(settings: Settings) -> list[Path]:
    """Return the files that the object store holds."""
    objects = settings.data_dir / "objects"
    return [path for path in objects.rglob("*") if path.is_file()]


def is_problem(answer: Any, status: int, code: str) -> bool:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:tunegate:problem:{code}"
    assert {"title", "status", "detail"} <= set(body)
    return bool(body["code"] == code and body["status"] == status)
