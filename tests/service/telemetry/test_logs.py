import io
import json
import logging
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Literal

import httpx
import pytest

from service.settings import Settings
from service.telemetry.logs import OWN, set_up_logs
from service.telemetry.origin import originating


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Put the loggers back as they were."""
    root = logging.getLogger()
    named = {name: logging.getLogger(name) for name in OWN}
    before = {n: (each.handlers[:], each.propagate) for n, each in named.items()}
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False
    for name, (kept, propagate) in before.items():
        named[name].handlers[:] = kept
        named[name].propagate = propagate


def written(kind: Literal["text", "json"], **facts: Any) -> str:
    """Return what is written of a failure while a hostile text is handled."""
    stream = io.StringIO()
    set_up_logs(Settings(log_format=kind), stream)
    try:
        raise ValueError("the words of a row")
    except ValueError:
        with originating(request_id="r-1", traceparent="00-1-2-00"):
            raised = sys.exc_info()
            logging.getLogger("dbos").error("a\nb\x1b[31m", exc_info=raised, **facts)
    return stream.getvalue()


def test_json_is_one_object_a_line_without_the_words_of_an_exception() -> None:
    text = written("json", extra={"facts": {"route": "/v1\n{}"}})
    (line,) = text.splitlines()
    said = json.loads(line)
    assert said["message"] == "a b\\x1b[31m"
    assert (said["level"], said["logger"], said["error"]) == (
        "error",
        "dbos",
        "ValueError",
    )
    assert said["route"] == "/v1 {}"
    assert said["request_id"] == "r-1"
    assert "traceparent" not in said
    assert "in written" in said["frames"]
    assert "the words" not in said["message"] + said["error"]


def test_text_cannot_steer_a_terminal() -> None:
    text = written("text")
    assert "\x1b" not in text
    assert "error dbos a b\\x1b[31m request_id=r-1 error=ValueError" in text


def test_levels_below_the_setting_are_left_out() -> None:
    stream = io.StringIO()
    set_up_logs(Settings(log_level="warning"), stream)
    logging.getLogger("service.api").info("quiet")
    logging.getLogger("uvicorn.access").warning("GET /v1/screenings?cursor=x")
    logging.getLogger("service.api").warning("loud")
    assert stream.getvalue().count("\n") == 1
    assert "loud" in stream.getvalue()


def test_no_library_writes_the_url_that_it_asks_or_is_sent_to() -> None:
    """Nor at the finest level: it may hold a signature."""

    class Moved(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"{self.path}&again=signature")
            self.end_headers()

        def log_message(self, *given: object) -> None:
            pass

    stream = io.StringIO()
    set_up_logs(Settings(log_level="debug"), stream)
    with ThreadingHTTPServer(("127.0.0.1", 0), Moved) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/a?key=signature"
        assert httpx.get(url).status_code == 302
        thread.join()
    logging.getLogger("service").debug("heard")
    assert "heard" in stream.getvalue()
    assert "signature" not in stream.getvalue()
