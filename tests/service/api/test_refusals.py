"""A request that is wrong is a problem that says what is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.models import Models
from service.settings import Settings
from tests.service.api.exchange import V1, Write, is_problem, upload


@pytest.fixture
def client(untouched_client: TestClient) -> TestClient:
    """Nothing that is asked for here is granted."""
    return untouched_client


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"recipe": "{"}, "invalid_request", "recipe: not valid JSON: Expecting"),
        ({"recipe": '{"epoch": 1}'}, "invalid_request", "recipe.epoch: unknown key;"),
        ({"recipe": '{"batch_size": "x"}'}, "invalid_request", "recipe.batch_size"),
        ({"recipe": '{"epochs": 51}'}, "invalid_input", "at most 50"),
        ({"recipe": '{"base_model": "../x"}'}, "invalid_input", "not offered here"),
        ({"policy": "a: *b"}, "invalid_policy", "policy: "),
        ({"policy": "x" * 200_000}, "invalid_request", "policy: over 131072 bytes"),
        ({"run_trial": "perhaps"}, "invalid_request", "run_trial"),
        ({"color": "red"}, "invalid_request", "'color' is no field"),
    ],
)
def test_a_wrong_form_field_is_named(
    client: TestClient, write: Write, fields: dict[str, str], code: str, said: str
) -> None:
    answer = upload(client, write(), **fields)
    assert is_problem(answer, 422, code)
    assert said in answer.json()["detail"]
    assert client.get(V1).json()["data"] == []


@pytest.mark.parametrize("path", [V1, "/v1/scan"])
@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"\xff", 400, "invalid_json"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b"[]", 422, "invalid_request"),
        (b'{"rows": []}', 422, "invalid_request"),
        (b'{"rows": [1], "extra": 1}', 422, "invalid_request"),
        (b'{"rows": [' + b"1," * 200_000 + b"1]}", 413, "body_too_large"),
    ],
)
def test_a_wrong_json_body_is_a_problem(
    client: TestClient, path: str, content: bytes, status: int, code: str
) -> None:
    headers = {"content-type": "application/json"}
    answer = client.post(path, content=content, headers=headers)
    assert is_problem(answer, status, code)


def test_another_media_type_is_refused(client: TestClient) -> None:
    answer = client.post(V1, content=b"x", headers={"content-type": "text/csv"})
    assert is_problem(answer, 415, "unsupported_media_type")


def test_a_form_without_a_file_is_refused(client: TestClient) -> None:
    answer = client.post(V1, data={"name": "x"}, files={"other": b"x"})
    assert is_problem(answer, 422, "invalid_request")
    text = client.post(V1, data={"file": "x"}, files={"name": b"x"})
    assert is_problem(text, 422, "invalid_request")


def test_an_upload_over_the_limit_is_refused_though_its_length_is_unsaid(
    models: Models, runner: Any, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path / "kept", max_upload_bytes=1_000)

    def form() -> Iterator[bytes]:
        yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n'
        yield b"\r\n"
        for _ in range(40):
            yield b"x" * 65_536

    headers = {"content-type": "multipart/form-data; boundary=b"}
    app = create_app(settings, load=lambda: models, runner=runner)
    with TestClient(app) as client:
        answer = client.post(V1, content=form(), headers=headers)
        assert is_problem(answer, 413, "body_too_large")
        told = {**headers, "content-length": "9" * 30}
        answer = client.post(V1, content=b"x", headers=told)
        assert is_problem(answer, 413, "body_too_large")
        assert client.get(V1).json()["data"] == []


@pytest.mark.parametrize("screening", ["none", "..", "scr_%2e%2e%2f", "%00"])
def test_an_unknown_screening_is_not_found(client: TestClient, screening: str) -> None:
    for part in ("", "/report", "/findings"):
        assert client.get(f"{V1}/{screening}{part}").status_code in (404, 422)


ALLOWED = {
    V1: "GET, POST",
    f"{V1}/x": "DELETE, GET",
    "/v1/policies/dry-run": "POST",
    "/v1/policies/x": "GET",
}


def test_unknown_paths_and_methods_are_problems_too(client: TestClient) -> None:
    assert is_problem(client.get("/v2"), 404, "not_found")
    answer = client.put("/healthz")
    assert is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"
    for path, allowed in ALLOWED.items():
        answer = client.patch(path)
        assert is_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allowed
