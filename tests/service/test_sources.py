import gzip
import hashlib
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import anyio
import httpx
import pytest

from detectors.errors import InputError
from service.settings import Settings, load_settings
from service.sources import MAX_REDIRECTS, SourceError, Sources, check_link
from service.storage.datasets import Datasets, Upload
from service.storage.objects import ObjectStore

ROWS = b'{"prompt": "Where is my parcel?", "completion": "On its way."}\n' * 50
PUBLIC = "93.184.215.14"


class Handler(BaseHTTPRequestHandler):
    """What servers do, by the path that is asked."""

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):  # whoever asked has gone
                for _ in range(100):
                    self.wfile.write(b"x")
                    time.sleep(0.05)
            return
        moved = {
            "/here": "/rows.jsonl",
            "/round": "/round",
            "/file": "ftp://files.example.com/a",
        }
        if self.path in moved:
            self.send_response(302)
            self.send_header("Location", moved[self.path])
            self.end_headers()
            return
        content = gzip.compress(ROWS) if self.path == "/packed" else ROWS
        self.send_response(404 if self.path == "/none" else 200)
        if self.path == "/packed":
            self.send_header("Content-Encoding", "gzip")
        if self.path != "/unsaid":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:10] if self.path == "/cut" else content)

    def log_message(self, *given: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Serve on this machine."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., Upload]:
    """Return a function that fetches a URL, the settings as given."""

    def run(url: str, tenant: str = "acme", **given: Any) -> Upload:
        known = ("resolve", "transport", "waits")
        seams = {"waits": (), **{k: given.pop(k) for k in known if k in given}}
        settings = Settings(data_dir=tmp_path, **given)
        datasets = Datasets(ObjectStore(str(tmp_path)))
        sources = Sources(settings, datasets, **seams)
        return anyio.run(sources.fetch, url, tenant)

    return run


INSIDE = {"fetch_private": True, "fetch_sources": ("http://",)}


def left(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("path", ["/rows.jsonl?sig=1", "/here", "/unsaid"])
def test_what_is_at_a_url_is_stored(
    fetch: Any, server: str, tmp_path: Path, path: str
) -> None:
    upload = fetch(server + path, **INSIDE)
    assert upload.digest == hashlib.sha256(ROWS).hexdigest()
    assert (upload.size_bytes, upload.form) == (len(ROWS), "file")
    assert left(tmp_path) == [ROWS]


def test_bytes_are_kept_as_they_came(fetch: Any, server: str, tmp_path: Path) -> None:
    fetch(f"{server}/packed", **INSIDE)
    assert gzip.decompress(left(tmp_path)[0]) == ROWS


NOWHERE: list[tuple[str, dict[str, Any], str, str]] = [
    ("/none", {}, "source_unavailable", "answered 404: check it"),
    ("/cut", {}, "source_unavailable", "could not be read"),
    ("/rows", {"max_upload_bytes": 100}, "source_too_large", "over 100 bytes"),
    ("/unsaid", {"max_upload_bytes": 100}, "source_too_large", "over 100 bytes"),
    ("/slow", {"fetch_seconds": 0.3}, "source_timeout", "longer than 0.3 seconds"),
    ("/round", {}, "source_unavailable", f"more than {MAX_REDIRECTS} redirects"),
    ("/file", {}, "source_refused", "not fetched from there"),
    ("/rows", {"min_free_bytes": 10**18}, "disk_full", "short of disk"),
]


@pytest.mark.parametrize(("path", "given", "code", "said"), NOWHERE)
def test_a_url_that_leads_nowhere_is_told_and_leaves_nothing(
    fetch: Any,
    server: str,
    tmp_path: Path,
    path: str,
    given: Any,
    code: str,
    said: str,
) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        fetch(server + path, **INSIDE, **given)
    assert (caught.value.code, left(tmp_path)) == (code, [])


def test_a_disk_that_fills_up_meanwhile_ends_the_fetch(
    fetch: Any, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter([2_000, 999])
    monkeypatch.setattr("service.sources.free_bytes", lambda *_: next(said))
    with pytest.raises(SourceError) as caught:
        fetch(f"{server}/rows", **INSIDE, min_free_bytes=1_000)
    assert (caught.value.code, left(tmp_path)) == ("disk_full", [])


def good() -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(ROWS))


@pytest.mark.parametrize(
    ("statuses", "asked"), [((503, 429, 200), 3), ((404, 200), 1), ((500,) * 9, 3)]
)
def test_a_server_that_fails_for_now_is_asked_again_a_few_times(
    fetch: Any, tmp_path: Path, statuses: tuple[int, ...], asked: int
) -> None:
    answers = [good() if each == 200 else httpx.Response(each) for each in statuses]
    transport, seen = answering(*answers)
    seams = {"resolve": lambda host, port: [PUBLIC], "transport": transport}
    given = {**seams, "waits": (0.01, 0.02)}
    if asked == 3 and 200 in statuses:
        assert fetch("https://data.example.com/a", **given).size_bytes == len(ROWS)
    else:
        with pytest.raises(SourceError) as caught:
            fetch("https://data.example.com/a", **given)
        assert caught.value.code == "source_unavailable"
        assert left(tmp_path) == []
    assert len(seen) == asked


def test_a_host_that_has_no_address_for_now_is_looked_up_again(fetch: Any) -> None:
    said: list[list[str]] = [[], [PUBLIC]]
    transport, _ = answering(good())
    found = fetch(
        "https://data.example.com/a",
        resolve=lambda host, port: said.pop(0),
        transport=transport,
        waits=(0.01,),
    )
    assert (found.size_bytes, said) == (len(ROWS), [])


def test_all_tries_have_the_time_of_one_fetch(fetch: Any) -> None:
    transport, seen = answering(httpx.Response(503))
    seams = {"resolve": lambda host, port: [PUBLIC], "transport": transport}
    with pytest.raises(SourceError) as caught:
        fetch("https://data.example.com/a", **seams, waits=(60.0,), fetch_seconds=0.2)
    assert (caught.value.code, len(seen)) == ("source_timeout", 1)


def answering(*answers: httpx.Response) -> tuple[httpx.MockTransport, list[Any]]:
    """Return a transport that gives those answers, and a list of what was asked."""
    asked: list[Any] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.host, request.headers["host"]))
        return answers[min(len(asked), len(answers)) - 1]

    return httpx.MockTransport(handle), asked


def test_a_name_that_changes_its_address_is_called_at_the_one_looked_at(
    fetch: Any,
) -> None:
    """DNS rebinding: the second answer would be ours."""
    said = [[PUBLIC], ["127.0.0.1"]]
    transport, asked = answering(httpx.Response(200, stream=httpx.ByteStream(ROWS)))
    fetch(
        "https://data.example.com/rows.jsonl",
        resolve=lambda host, port: said.pop(0),
        transport=transport,
    )
    assert asked == [(PUBLIC, "data.example.com")]
    assert said == [["127.0.0.1"]]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "169.254.169.254", "10.1.2.3", "::1", "fd00:ec2::254", "192.0.0.192"],
)
@pytest.mark.parametrize("moved", [False, True])
def test_no_url_and_no_redirect_leads_into_our_network(
    fetch: Any, tmp_path: Path, address: str, moved: bool
) -> None:
    def resolve(host: str, port: int) -> Sequence[str]:
        return [PUBLIC if host == "outside.example.com" else address]

    to = {"Location": "https://inside.example.com/latest/meta-data/"}
    transport, asked = answering(httpx.Response(302, headers=to), httpx.Response(200))
    host = "outside" if moved else "inside"
    with pytest.raises(InputError, match="not on the public internet"):
        fetch(f"https://{host}.example.com/a", resolve=resolve, transport=transport)
    assert [each[1] for each in asked] == ["outside.example.com"] * moved
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://data.example.com/",
        "file:///etc/passwd",
        "/etc/passwd",
        "memory://a",
        "zip://rows.jsonl::https://data.example.com/a.zip",
        "simplecache::https://data.example.com/",
        "s3://bucket/rows.jsonl",
        "hf://datasets/org/name/rows.jsonl",
        "https://",
        "https://data.example.com/../x",
        "https://data.example.com/%2e%2e/x",
        "https://data.example.com/\r\nX-Injected: 1",
        "https://user:secret@data.example.com/",
        "https://" + "a" * 3_000,
        "",
    ],
)
def test_nothing_else_is_fetched(fetch: Any, tmp_path: Path, url: str) -> None:
    transport, asked = answering(httpx.Response(200, stream=httpx.ByteStream(ROWS)))
    with pytest.raises(InputError, match=r"^url: ") as caught:
        fetch(url, resolve=lambda host, port: [PUBLIC], transport=transport)
    assert "secret" not in str(caught.value)
    assert (asked, left(tmp_path)) == ([], [])


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://data.example.com/acme/a.jsonl", True),
        ("https://data.example.com/other/a.jsonl", False),
        ("https://data.example.com.evil.example/acme/a.jsonl", False),
        ("https://data.example.com@evil.example/acme/a.jsonl", False),
    ],
)
def test_a_host_can_be_asked_for_a_tenants_own_alone(
    fetch: Any, url: str, good: bool
) -> None:
    transport, asked = answering(httpx.Response(200, stream=httpx.ByteStream(ROWS)))
    seams = {"resolve": lambda host, port: [PUBLIC], "transport": transport}
    given = {"fetch_sources": ("https://data.example.com/{tenant}/",), **seams}
    if good:
        assert fetch(url, **given).size_bytes == len(ROWS)
        return
    with pytest.raises(InputError):
        fetch(url, **given)
    assert asked == []


@pytest.mark.parametrize(
    ("url", "private", "fit"),
    [
        ("https://data.example.com/a", False, True),
        ("https://no-such-host.invalid/a", False, True),
        ("https://93.184.215.14/a", False, True),
        ("https://127.0.0.1/a", False, False),
        ("https://127.1/a", False, False),
        ("https://2130706433/a", False, False),
        ("https://[::ffff:10.0.0.1]/a", False, False),
        ("https://169.254.169.254/latest", False, False),
        ("https://10.1.2.3/a", True, True),
        ("https://user:secret@data.example.com/a", False, False),
        ("http://data.example.com/a", False, False),
        ("s3://bucket/a", False, False),
    ],
)
def test_a_link_is_judged_as_far_as_that_asks_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, private: bool, fit: bool
) -> None:
    real = socket.getaddrinfo

    def look(*given: Any, flags: int = 0, **named: Any) -> Any:
        assert flags & socket.AI_NUMERICHOST, "a name was looked up"
        return real(*given, flags=flags, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    settings = Settings(data_dir=tmp_path, fetch_private=private)
    if fit:
        check_link(url, settings, "acme")
        return
    with pytest.raises(InputError, match=r"^url: ") as caught:
        check_link(url, settings, "acme")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "place", ["s3://", "https", "file:///", "s3://bucket", "hf://models/", "https://h"]
)
def test_a_place_that_names_too_much_is_no_setting(place: str) -> None:
    with pytest.raises(InputError, match=r"TUNEGATE_FETCH_SOURCES.*no place"):
        load_settings(fetch_sources=(place,))


@pytest.mark.parametrize("place", ["s3://store/", "s3://store/own/{tenant}/"])
def test_what_the_service_keeps_is_no_place_to_fetch_from(place: str) -> None:
    given = {"storage_url": "s3://store/own", "fetch_sources": (place,)}
    with pytest.raises(InputError, match="what the service itself keeps"):
        load_settings(**given)
    load_settings(**{**given, "fetch_sources": ("s3://stored/", "https://")})
