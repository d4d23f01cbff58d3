import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from detectors.errors import InputError
from service.api.context import context_of
from service.certificate import check_certificate
from service.envelope import load_signer
from service.jobs.backend import open_backend
from service.settings import Settings

V1 = "/v1/screenings"
SEED = base64.b64encode(bytes(32)).decode()
Wait = Callable[..., None]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"certificate_key": SecretStr(SEED)})


def finish(client: TestClient, wait: Wait, rows: list[Any]) -> Any:
    here = client.post(V1, json={"rows": rows, "name": "secretname"}).json()["links"]
    wait(lambda: client.get(here["self"]).json()["status"] in ("finished", "failed"))
    return here


def test_a_finished_screening_has_a_certificate_that_its_deletion_leaves(
    client: TestClient, row: Any, wait: Wait
) -> None:
    links = finish(client, wait, [row("secret BAD")] * 20)
    report = client.get(links["report"]).content
    answer = client.get(links["certificate"])
    assert answer.status_code == 200
    kind = answer.headers["content-type"]
    assert kind == "application/vnd.dsse.envelope.v1+json"
    signer = load_signer(SEED)
    assert signer is not None
    said = check_certificate(answer.content, signer.public)
    assert said["predicate"]["result"] == "FAILED"
    configuration = said["predicate"]["configuration"]
    digests = {each["name"]: each.get("digest") for each in configuration}
    assert digests["report"] == {"sha256": hashlib.sha256(report).hexdigest()}
    dataset = json.loads(report)["dataset"]["sha256"]
    assert said["subject"][0]["digest"] == {"sha256": dataset}
    assert "secret" not in json.dumps(said)
    assert client.delete(links["self"]).status_code == 204
    assert client.get(links["report"]).status_code == 404
    after = client.get(links["certificate"])
    assert (after.status_code, after.content) == (200, answer.content)


def test_a_certificate_that_the_client_has_is_not_sent_again(
    client: TestClient, row: Any, wait: Wait
) -> None:
    links = finish(client, wait, [row()])
    etag = client.get(links["certificate"]).headers["etag"]
    again = client.get(links["certificate"], headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


def test_what_is_not_finished_has_no_certificate_yet(
    client: TestClient, row: Any, wait: Wait
) -> None:
    made = client.post(V1, json={"rows": [row("FOREVER")]}).json()["links"]
    wait(lambda: client.get(made["self"]).json()["status"] == "running")
    answer = client.get(made["certificate"])
    assert answer.status_code == 409
    assert answer.json()["code"] == "screening_not_finished"
    assert answer.headers["retry-after"]
    client.post(f"{made['self']}/cancel")
    answer = client.get(made["certificate"])
    assert (answer.status_code, answer.json()["code"]) == (409, "screening_failed")
    client.delete(made["self"])
    answer = client.get(made["certificate"])
    assert (answer.status_code, answer.json()["code"]) == (404, "screening_not_found")


def test_a_screening_from_before_there_were_certificates_says_so(
    client: TestClient, row: Any, wait: Wait
) -> None:
    made = client.post(V1, json={"rows": [row("FOREVER")]}).json()
    assert context_of(client.app).backend.store.finish(made["id"], "ACCEPT", b"{}")
    answer = client.get(made["links"]["certificate"])
    assert answer.status_code == 404
    assert answer.json()["code"] == "certificate_not_found"


def test_a_key_that_is_none_stops_the_service_at_its_start(
    settings: Settings,
) -> None:
    wrong = settings.model_copy(update={"certificate_key": SecretStr("nonsense")})
    with pytest.raises(InputError, match="TUNEGATE_CERTIFICATE_KEY"):
        open_backend(wrong)
