"""What a hostile customer sends over HTTP: each gets a bounded answer that says why."""

import gzip
import io
import random
import zipfile
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fastapi.testclient import TestClient

from service.envelope import MEDIA_TYPE as ENVELOPE
from service.settings import Settings

V1 = "/v1/screenings"
BATCHES = "/v1/batches"
GOOD = b'{"prompt": "Where is parcel %d?", "completion": "On its way."}'
NO_TRIAL = {"run_trial": "false", "policy": "trial: {required: false}"}
Wait = Callable[..., None]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    limits = {"max_queued": 200, "batch_max_datasets": 100, "max_json_bytes": 2**24}
    return settings.model_copy(update=limits)


def good(count: int = 6) -> list[bytes]:
    return [GOOD % number for number in range(count)]


def screen(client: TestClient, wait: Wait, content: bytes, name: str = "x") -> Any:
    """Return what becomes of an upload, with its report where there is one."""
    answer = client.post(V1, files={"file": (name, content)}, data=NO_TRIAL)
    assert answer.status_code == 202, answer.text
    here = answer.headers["location"]
    wait(lambda: client.get(here).json()["status"] in ("finished", "failed"))
    done = client.get(here).json()
    return {**done, "answer": client.get(done["links"]["report"])}


def bomb(megabytes: int) -> bytes:
    return gzip.compress(b"x" * (megabytes * 2**20))


def parquet_bomb() -> bytes:
    """Return a small file of one column that says the same 64 MB again and again."""
    said, file = "x" * 2**20, io.BytesIO()
    table = pa.table({"text": [said] * 64})
    pq.write_table(table, file, compression="zstd", use_dictionary=True)
    return file.getvalue()


BOMBS = {
    "gzip": (lambda: bomb(64), "decompression bomb"),
    "zstd": (lambda: zstandard.compress(b"x" * (64 * 2**20)), "decompression bomb"),
    "gzip in gzip": (lambda: gzip.compress(bomb(64)), "twice"),
    "zip": (lambda: zipped(b"x" * 2**20), "ZIP"),
    "xlsx": (lambda: zipped(b"x" * 2**20, "xl/workbook.xml"), "ZIP"),
}


def zipped(content: bytes, name: str = "rows.jsonl") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.each_database(slow=True)
def test_a_bomb_is_refused_and_says_why(client: TestClient, wait: Wait) -> None:
    for kind, (make, said) in BOMBS.items():
        done = screen(client, wait, make())
        assert (done["status"], done["fault"]["code"]) == (
            "failed",
            "unreadable_dataset",
        )
        assert said in done["fault"]["message"], kind
        assert done["answer"].status_code == 409
        assert done["answer"].json()["code"] == "screening_failed"


@pytest.mark.each_database(slow=True)
def test_a_parquet_that_repeats_one_long_string_is_named_row_by_row(
    client: TestClient, wait: Wait
) -> None:
    content = parquet_bomb()
    assert len(content) < 2**20
    done = screen(client, wait, content)
    if done["status"] == "finished":
        report = done["answer"].json()
        assert report["decision"]["outcome"] == "REVIEW"
        assert report["dataset"]["bad_line_count"] == 64
        return
    assert done["fault"]["code"] == "unreadable_dataset"


def test_json_ten_million_deep_is_not_valid(client: TestClient) -> None:
    body = b'{"rows": ' + b"[" * 10_000_000 + b"]" * 1_000_000 + b"}"
    for path in (V1, BATCHES, "/v1/scan", "/v1/policies"):
        answer = client.post(
            path, content=body, headers={"content-type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


@pytest.mark.each_database(slow=True)
def test_a_line_ten_million_deep_is_one_bad_line(
    client: TestClient, wait: Wait
) -> None:
    deep = b'{"prompt": ' + b"[" * 10_000_000
    done = screen(client, wait, b"\n".join([*good(), deep, *good()]))
    report = done["answer"].json()
    assert done["outcome"] == "REVIEW"
    assert [each["line"] for each in report["dataset"]["bad_lines"]] == [7]


NAMES = [
    "../../../../etc/passwd",
    "..\\..\\windows\\system32\\config",
    "/etc/passwd",
    "....//....//etc/passwd",
    "%2e%2e%2fetc%2fpasswd",
    "a\x00.jsonl",
    "datasets/0000",
    "incoming",
    "x" * 5_000,
    "\u202egnp.exe",
    "",
]


@pytest.mark.each_database(slow=True)
def test_no_file_name_is_a_path(
    client: TestClient, wait: Wait, settings: Settings
) -> None:
    for name in NAMES:
        upload_named(client, wait, name)
    top = {path.name for path in settings.data_dir.iterdir()}
    assert {"objects", "tunegate.sqlite"} <= top
    assert all(each == "objects" or each.startswith("tunegate") for each in top)


def upload_named(client: TestClient, wait: Wait, name: str) -> None:
    form = (
        b'--b\r\ncontent-disposition: form-data; name=file; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), b"\n".join(good()))
    )
    tail = b"".join(
        b'--b\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (each.encode(), text.encode())
        for each, text in NO_TRIAL.items()
    )
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = client.post(V1, content=form + tail + b"--b--\r\n", headers=headers)
    if answer.status_code == 400:  # a name that cannot be in a header
        assert answer.json()["code"] == "invalid_form"
        return
    assert answer.status_code == 202, answer.text
    here = answer.headers["location"]
    wait(lambda: client.get(here).json()["status"] == "finished")
    shown = client.get(here).json()["name"]
    assert 0 < len(shown) <= 200
    assert "/" not in shown
    assert "\\" not in shown


ROOMS = ("screenings", "batches", "policies", "schemas")
INJECTED = "a\r\nSet-Cookie: stolen=1\r\n\r\n<script>"


@pytest.mark.each_database
def test_nothing_that_is_sent_becomes_a_header(
    client: TestClient, row: Any, wait: Wait
) -> None:
    asked = {"rows": [row()] * 6, "name": INJECTED, "run_trial": False}
    headers = {
        "X-Request-Id": "abcdefgh\tSet-Cookie: stolen=1",
        "Idempotency-Key": "key:Set-Cookie",
    }
    answers = [
        client.post(V1, json=asked, headers=headers),
        client.post(BATCHES, json={"datasets": [asked_rows(row)], "name": INJECTED}),
        client.post("/v1/policies", json={"name": INJECTED}),
        client.get(V1, params={"cursor": INJECTED, "batch": INJECTED}),
        *(client.get(f"/v1/{room}/{quote(INJECTED)}") for room in ROOMS),
        client.get(V1, headers={"If-None-Match": 'W/"a", *, "b'}),
    ]
    for answer in answers:
        assert answer.status_code < 500
        assert "set-cookie" not in answer.headers
        assert all("\n" not in value for value in answer.headers.values())
        assert answer.headers["x-request-id"] != headers["X-Request-Id"]
    wait(
        lambda: client.get(answers[0].headers["location"]).json()["status"] != "queued"
    )


def asked_rows(row: Any) -> dict[str, Any]:
    return {"rows": [row()], "name": INJECTED}


@pytest.mark.each_database
def test_markup_in_rows_and_names_stays_text(
    client: TestClient, wait: Wait, row: Any
) -> None:
    hostile = "BAD <script>alert(1)</script> \x1b[31m\x1b]0;title\x07 [bold]x[/bold]"
    asked = {"rows": [row(hostile)] * 6, "name": "<img src=x onerror=alert(1)>"}
    made = client.post(V1, json=asked).json()
    wait(lambda: client.get(made["links"]["self"]).json()["status"] == "finished")
    for path in (*made["links"].values(), V1):
        answer = client.get(path)
        kind = answer.headers["content-type"].split(";")[0]
        assert kind in ("application/json", "text/event-stream", ENVELOPE)
        assert answer.headers["x-content-type-options"] == "nosniff"
        # No control character is sent raw: a terminal shows it escaped.
        assert b"\x1b" not in answer.content
        assert b"\x07" not in answer.content
    bad = client.post(V1, json={"rows": 1, hostile: 1})
    assert bad.headers["content-type"] == "application/problem+json"
    assert b"\x1b" not in bad.content


# Malformed datasets. A row that is bad in a file that is good is named by its line; a
# file that is no dataset is refused with the reason.

BAD_ROWS: list[bytes] = [
    b'{"prompt": "a", "completion": ',
    b'{"prompt": "a", "completion": "b"',
    b'{"prompt": "a", "completion": "b",}',
    b"{'prompt': 'a', 'completion': 'b'}",
    b'{prompt: "a", completion: "b"}',
    b'{"prompt": "a"}',
    b'{"completion": 1}',
    b'{"prompt": 1, "completion": "b"}',
    b'{"prompt": "a", "completion": null}',
    b'{"prompt": "a", "completion": ""}',
    b'{"prompt": "a", "completion": "b", "prompt": "c"}',
    b'{"prompt": "a", "completion": "b", "n": NaN}',
    b'{"prompt": "a", "completion": "b", "n": 1e999}',
    b'{"prompt": "a\\ud800", "completion": "b"}',
    b'{"prompt": "a\\u0000", "completion": "b"}',
    b'{"prompt": "a\xff", "completion": "b"}',
    b'{"prompt": "a\x01", "completion": "b"}',
    b'{"prompt": "a", "completion": "b", "text": "c"}',
    b'{"messages": []}',
    b'{"messages": [{"role": "user", "content": "a"}]}',
    b'{"messages": [{"role": "wizard", "content": "a"}]}',
    b'{"messages": "a"}',
    b'{"messages": [7]}',
    b'{"conversations": [{"from": "human", "value": "a"}]}',
    b'{"question": "a", "answer": "b"}',
    b'{"prompt": "a", "completion": "b"} {"prompt": "a", "completion": "b"}',
    b'{"x": ' + b"[" * 100 + b"]" * 100 + b"}",
    b"[" * 1_000,
    b'["prompt", "completion"]',
    b'"prompt"',
    b"null",
    b"true",
    b"7",
    b"-",
    b"}",
    b"{}",
    b"<html><body>no rows</body></html>",
    b"\x1b[31mred\x1b[0m",
    b"prompt: a",
    b"\x00\x01\x02",
    b"\xff\xfe\xfd",
]

Malformed = tuple[str, bytes, list[int]]
"""What kind it is, the bytes, and the lines to be named; none where it is refused."""


def bad_lines(chance: random.Random) -> Malformed:
    """Return a good file with bad rows among its rows, plain or packed."""
    rows = good(chance.randint(5, 30))
    lines = sorted(chance.sample(range(2, len(rows) + 1), chance.randint(1, 4)))
    for line in lines:
        rows[line - 1] = chance.choice(BAD_ROWS)
    content = b"\n".join(rows) + b"\n" * chance.randint(0, 2)
    pack = chance.choice((bytes, gzip.compress, zstandard.compress))
    return "bad rows", pack(content), lines


def damaged(chance: random.Random) -> Malformed:
    """Return a packed file that is cut or has a hole, or a columnar one that is cut.

    A hole in Parquet may lie where nobody reads, or say other words.
    """
    rows = b"\n".join(good(chance.randint(20, 200)))
    checked = zstandard.ZstdCompressor(write_checksum=True)
    content = chance.choice((gzip.compress, checked.compress))(rows)
    columnar = chance.random() < 0.4
    if columnar:
        file = io.BytesIO()
        texts = [f"Parcel {n} is {chance.random()} away." for n in range(200)]
        pq.write_table(pa.table({"text": texts}), file)
        content = file.getvalue()
    at = chance.randint(len(content) // 4, len(content) - 8)
    if columnar or chance.random() < 0.5:
        return "cut", content[:at], []
    hole = chance.randint(4, 40)
    return "hole", content[:at] + b"\xff" * hole + content[at + hole :], []


def foreign(chance: random.Random) -> Malformed:
    """Return a file that is no dataset."""
    filler = chance.randbytes(chance.randint(1, 3_000))
    made = chance.choice(
        (
            b"",
            b" \n\t\n" * chance.randint(1, 9),
            b"[]",
            b"[" + b",".join(good())[: -chance.randint(2, 40)],
            b"%PDF-1.7\n" + filler,
            b"\x89PNG\r\n\x1a\n" + filler,
            b"\x7fELF" + filler,
            b"\x80\x04\x95" + filler,
            b"PAR1" + filler,
            b"ARROW1\x00\x00" + filler,
            b"\x1f\x8b\x08" + filler,
            b"\x28\xb5\x2f\xfd" + filler,
            zipped(filler),
            b"<!DOCTYPE html><html>" + filler.hex().encode() + b"</html>",
            b"question,answer\na,b\n" * chance.randint(1, 9),
            b"text,text\na,b\n",
            b"prompt,completion\n" + b'"a' * chance.randint(1, 9),
            "\n".join(map(bytes.decode, good())).encode("utf-16"),
            b"\x00" * chance.randint(1, 9_999),
            filler,
            gzip.compress(gzip.compress(b"\n".join(good()))),
            b"- prompt: a\n  completion: b\n",
            b'{\n "data": [\n' + b",\n".join(good()) + b"]}",
        )
    )
    return "foreign", made, []


def malformed(seed: int) -> Malformed:
    chance = random.Random(seed)
    return chance.choice((bad_lines, bad_lines, damaged, foreign))(chance)


def check(client: TestClient, made: Malformed, screening: str) -> None:
    """Say of a malformed dataset that it ended with a clear word and not accepted."""
    kind, content, lines = made
    done = client.get(f"{V1}/{screening}").json()
    answer = client.get(done["links"]["report"])
    where = (kind, content[:80], done)
    if done["status"] == "failed":
        assert not lines, where
        assert done["fault"]["code"] == "unreadable_dataset", where
        assert len(done["fault"]["message"]) > 10, where
        assert answer.status_code == 409, where
        return
    report = answer.json()
    named = [each["line"] for each in report["dataset"]["bad_lines"]]
    assert done["outcome"] == "REVIEW", where
    assert named, where
    assert not lines or named == lines, (where, named)
    assert "bad_lines" in str(report["decision"]["reasons"]), where


def end_well(client: TestClient, wait: Wait, seeds: range) -> int:
    """Screen malformed datasets, check each, and say how many ended."""
    datasets = [malformed(seed) for seed in seeds]
    files = [("file", (f"{n}.jsonl", each[1])) for n, each in enumerate(datasets)]
    answer = client.post(BATCHES, files=files, data=NO_TRIAL)
    assert answer.status_code == 202, answer.text
    here = answer.headers["location"]
    wait(lambda: client.get(here).json()["status"] == "finished", 300)
    batch = client.get(here).json()
    assert batch["outcomes"]["ACCEPT"] == 0
    for made, screening in zip(datasets, batch["screenings"], strict=True):
        check(client, made, screening)
    client.delete(here)
    return len(batch["screenings"])


@pytest.mark.each_database(slow=True)
def test_malformed_datasets_end_with_a_clear_word(
    client: TestClient, wait: Wait
) -> None:
    assert end_well(client, wait, range(12)) == 12


@pytest.mark.slow
@pytest.mark.each_database
def test_a_thousand_malformed_datasets_end_with_a_clear_word(
    client: TestClient, wait: Wait
) -> None:
    for start in range(0, 1_000, 100):
        assert end_well(client, wait, range(start, start + 100)) == 100
