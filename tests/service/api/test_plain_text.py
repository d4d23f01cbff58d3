"""U+0000 and halves of characters: PostgreSQL refuses the one, UTF-8 the other.

No field of a request may hold them; rows may, and are screened.
"""

import json
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from fastapi.testclient import TestClient

from detectors.errors import DatasetError
from service.api.context import context_of
from service.caller import OPEN
from service.jobs.steps import Steps
from service.settings import Settings

V1 = "/v1/screenings"
HALF = "\ud800"
Wait = Callable[..., None]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    changed = {"max_queued": 50, "fetch_sources": ("https://data.example.com/",)}
    return settings.model_copy(update=changed)


@pytest.fixture
def webhook(client: TestClient) -> str:
    hooks = context_of(client.app).backend.webhooks(OPEN)
    return hooks.add("https://hooks.example.com/").id


@pytest.fixture
def batch(client: TestClient, row: Any) -> str:
    asked = {"datasets": [{"rows": [row()]}]}
    return str(client.post("/v1/batches", json=asked).json()["id"])


ASKED = [
    ("GET", V1 + "?batch=%00", "query.batch"),
    ("GET", V1 + "?batch={batch}%00", "query.batch"),
    ("GET", V1 + "?cursor=%00", "query.cursor"),
    ("GET", "/v1/batches?cursor=%00", "query.cursor"),
    ("GET", "/v1/batches?cursor={batch}&cursor=%00", "query.cursor"),
    ("GET", "/v1/policies?cursor=a%00", "query.cursor"),
    ("GET", V1 + "?status=%00", "query.status"),
    ("GET", V1 + "?%00=1", "query.\x00"),
    ("GET", V1 + "/%00", "path.screening_id"),
    ("GET", V1 + "/%00/report", "path.screening_id"),
    ("GET", V1 + "/%00/events", "path.screening_id"),
    ("POST", V1 + "/%00/cancel", "path.screening_id"),
    ("DELETE", V1 + "/%00", "path.screening_id"),
    ("GET", "/v1/policies/%00", "path.reference"),
    ("GET", "/v1/schemas/%00", "path.name"),
    ("GET", "/v1/batches/{batch}%00", "path.batch_id"),
    ("DELETE", "/v1/batches/%00", "path.batch_id"),
    ("POST", "/v1/batches/%00/cancel", "path.batch_id"),
    ("DELETE", "/v1/webhooks/%00", "path.webhook_id"),
    ("GET", "/v1/webhooks/%00/deliveries", "path.webhook_id"),
    ("GET", "/v1/webhooks/{webhook}/deliveries?cursor=%00", "query.cursor"),
    ("POST", "/v1/webhooks/{webhook}/deliveries/%00/replay", "path.delivery_id"),
]
"""A method, a path with its query, and the field that is named in the answer."""


@pytest.mark.each_database
def test_nul_in_a_path_or_query_is_refused_by_its_field(
    client: TestClient, webhook: str, batch: str
) -> None:
    for method, path, field in ASKED:
        path = path.format(webhook=webhook, batch=batch)
        answer = client.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (
            422,
            "invalid_request",
        ), (method, path)
        assert answer.json()["errors"][0]["field"] == field
        assert "U+0000" in answer.json()["detail"]
    assert client.get(f"/v1/batches/{batch}").json()["cancelled_at"] is None


@pytest.mark.each_database(slow=True)
def test_bytes_that_are_no_text_name_nothing_that_is_there(
    client: TestClient, webhook: str, batch: str
) -> None:
    # Half of a surrogate pair as UTF-8, a byte of no character, one that breaks off.
    odd_ones = ("%ED%A0%80", "%FF", "%C3")
    for (method, path, _), odd in product(ASKED, odd_ones):
        path = path.format(webhook=webhook, batch=batch).replace("%00", odd)
        answer = client.request(method, path)
        assert answer.status_code in (200, 404, 422), (method, path)
        assert batch not in answer.text
    assert client.get(f"/v1/batches/{batch}").json()["cancelled_at"] is None


ROWS = {"rows": [{"prompt": "a", "completion": "b"}]}
LINK = {"url": "https://data.example.com/a"}
BODIES: list[tuple[str, str, Callable[[str], dict[str, Any]]]] = [
    (V1, "name", lambda odd: {**ROWS, "name": odd}),
    (V1, "policy", lambda odd: {**ROWS, "policy": odd}),
    (V1, "policy", lambda odd: {**ROWS, "policy": f'name: "a{odd}"'}),
    (V1, "policy", lambda odd: {**ROWS, "policy": f"a@1{odd}"}),
    (V1, "policy", lambda odd: {**ROWS, "policy": {"name": odd}}),
    (V1, "policy", lambda odd: {**ROWS, "policy": {"drift": {odd: 1}}}),
    (V1, "recipe", lambda odd: {**ROWS, "recipe": {"base_model": odd}}),
    (V1, "recipe", lambda odd: {**ROWS, "recipe": {"revision": odd}}),
    (V1, "recipe", lambda odd: {**ROWS, "recipe": {"targets": ["q", odd]}}),
    (V1, "recipe", lambda odd: {**ROWS, "recipe": {"chat_template": odd}}),
    (V1, "name", lambda odd: {**LINK, "name": odd}),
    (V1, "url", lambda odd: {"url": LINK["url"] + odd}),
    (V1, "sha256", lambda odd: {"sha256": "9" * 63 + odd}),
    ("/v1/batches", "name", lambda odd: {"name": odd, "datasets": [ROWS]}),
    ("/v1/batches", "datasets", lambda odd: {"datasets": [{**ROWS, "name": odd}]}),
    ("/v1/scan", "name", lambda odd: {**ROWS, "name": odd}),
    ("/v1/policies", "name", lambda odd: {"name": odd}),
    ("/v1/policies", "policy", lambda odd: {"name": "a", "policy": {"name": odd}}),
    ("/v1/policies/dry-run", "screening", lambda o: {"screening": o, "policy": {}}),
    ("/v1/policies/dry-run", "policy", lambda o: {"screening": "x", "policy": o}),
    ("/v1/webhooks", "url", lambda odd: {"url": f"https://hooks.example.com/{odd}"}),
]
"""A path, the field at fault, and a body that has something there."""


@pytest.mark.each_database
def test_a_field_of_a_body_that_is_no_text_is_refused_by_its_name(
    client: TestClient,
) -> None:
    odd_ones = ("\x00", HALF, "a\x00b\udc00")
    for (path, field, body), odd in product(BODIES, odd_ones):
        headers = {"content-type": "application/json"}
        content = json.dumps(body(odd))
        answer = client.post(path, content=content, headers=headers)
        where = (path, content, answer.text)
        assert answer.status_code == 422, where
        assert answer.json()["code"] == "invalid_request", where
        assert answer.json()["errors"][0]["field"].split(".")[0] == field, where
    assert client.get(V1).json()["data"] == []


@pytest.mark.each_database(slow=True)
def test_a_policy_does_not_name_itself_by_what_is_no_text(client: TestClient) -> None:
    for escape in ("\\0", "\\ud800", "\\udc00\\0"):
        asked = {**ROWS, "policy": f'name: "a{escape}"'}
        answer = client.post(V1, json=asked)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_policy")


def form(name: str, content: bytes, filename: bytes = b"a.jsonl") -> dict[str, Any]:
    rows = json.dumps(ROWS["rows"][0]).encode()
    body = b"--b\r\ncontent-disposition: form-data; name=%s\r\n\r\n%s\r\n"
    file = b'--b\r\ncontent-disposition: form-data; name=file; filename="%s"'
    return {
        "content": body % (name.encode(), content)
        + file % filename
        + b"\r\n\r\n%s\r\n--b--\r\n" % rows,
        "headers": {"content-type": "multipart/form-data; boundary=b"},
    }


FIELDS = {
    "name": b"a%s",
    "policy": b'name: "a%s"',
    "recipe": b'{"revision": "%s"}',
    "run_trial": b"true%s",
}


@pytest.mark.each_database(slow=True)
def test_a_field_of_a_form_that_is_no_text_is_refused_by_its_name(
    client: TestClient,
) -> None:
    odd_ones = (b"\x00", b"\xed\xa0\x80", b"\xff")
    for path, name, odd in product((V1, "/v1/batches"), FIELDS, odd_ones):
        answer = client.post(path, **form(name, FIELDS[name] % odd))
        assert answer.status_code == 422, (path, name)
        assert answer.json()["code"] == "invalid_request"
        assert answer.json()["detail"].startswith(f"{name}:")
    escaped = client.post(V1, **form("recipe", b'{"revision": "\\u0000"}'))
    assert (escaped.status_code, escaped.json()["code"]) == (422, "invalid_request")
    assert client.get(V1).json()["data"] == []


@pytest.mark.each_database(slow=True)
def test_a_file_name_that_is_no_text_is_mended(client: TestClient) -> None:
    for odd in (b"a%00", b"\xed\xa0\x80", b"\xff"):
        answer = client.post(V1, **form("run_trial", b"false", odd))
        assert answer.status_code == 202, answer.text
        made = answer.json()
        assert made["name"].isprintable()
        assert client.get(made["links"]["self"]).json()["name"] == made["name"]


@pytest.mark.each_database(slow=True)
def test_what_is_no_text_is_no_idempotency_key(client: TestClient) -> None:
    asked = ((V1, ROWS), ("/v1/batches", {"datasets": [ROWS]}))
    keys = (b"\x00", b"a\x00", b"\xed\xa0\x80", b"\xff")
    for (path, body), key in product(asked, keys):
        headers = [(b"content-type", b"application/json"), (b"idempotency-key", key)]
        answer = client.post(path, content=json.dumps(body), headers=headers)
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("Idempotency-Key:")


def finished(client: TestClient, wait: Wait, rows: list[Any]) -> Any:
    headers = {"content-type": "application/json"}
    content = json.dumps({"rows": rows})
    answer = client.post(V1, content=content, headers=headers)
    assert answer.status_code == 202, answer.text
    here = answer.headers["location"]
    wait(lambda: client.get(here).json()["status"] in ("finished", "failed"))
    return client.get(here).json()


@pytest.mark.each_database
def test_rows_that_hold_what_is_no_text_are_named_and_the_others_screened(
    client: TestClient, wait: Wait
) -> None:
    rows = [{"prompt": f"BAD {n}", "completion": "On its way."} for n in range(6)]
    odd = [{"prompt": "a\x00", "completion": "b"}, {"\x00": HALF}, HALF, "\x00"]
    done = finished(client, wait, [*odd, *rows, {"prompt": "a", "completion": HALF}])
    assert (done["status"], done["outcome"]) == ("finished", "REJECT")
    report = client.get(done["links"]["report"]).json()
    assert report["dataset"]["rows"] == 6
    assert [e["line"] for e in report["dataset"]["bad_lines"]] == [1, 2, 3, 4, 11]
    assert report["finding_count"] == 6
    for name in ("findings", "events"):
        assert client.get(done["links"][name]).status_code == 200


@pytest.mark.each_database
def test_words_of_a_failure_that_are_no_text_are_mended(
    client: TestClient, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Steps) -> None:
        raise DatasetError(f"it said \x00{HALF}")

    monkeypatch.setattr(Steps, "ingest", fail)
    done = finished(client, wait, ROWS["rows"])
    fault = {"code": "unreadable_dataset", "message": "it said \ufffd\ufffd"}
    assert (done["status"], done["fault"]) == ("failed", fault)
