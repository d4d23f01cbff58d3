"""A moderation provider on a real socket, that answers as a test scripts it."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that wait for other processes.

    Where tests run beside each other one process then has them all, and the others the
    cores: what is left of its share they take over from the end.
    """
    items.sort(key=lambda item: item.path.parent.name != "jobs")


@dataclass
class Answer:
    """What the provider answers: JSON, or bytes as they are; `seconds` late."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def result(text: str) -> dict[str, Any]:
    """Return OpenAI's result for a text: BAD is flagged for violence, else harmless."""
    flagged = "BAD" in text
    score = 0.93 if flagged else 0.01
    return {
        "flagged": flagged,
        "categories": {"violence": flagged, "illicit": False},
        "category_scores": {"violence": score, "illicit": 0.001},
        "category_applied_input_types": {"violence": ["text"], "illicit": ["text"]},
    }


def moderations(asked: dict[str, Any]) -> Answer:
    """Answer as POST /v1/moderations does."""
    results = [result(text) for text in asked["input"]]
    return Answer({"id": "modr-1", "model": asked["model"], "results": results})


def chat(text: str, finish: str = "stop") -> Answer:
    """Answer as POST /v1/chat/completions does."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return Answer({"id": "c-1", "object": "chat.completion", "choices": [choice]})


def problem(status: int, code: str = "", **headers: str) -> Answer:
    """Answer with OpenAI's error object; its message repeats a row, as some do."""
    error = {"message": "SECRET row text", "type": "x", "param": None, "code": code}
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer({"error": error}, status, shown)


class FakeProvider:
    """Serves `script(number, request) -> Answer`; keeps requests and headers."""

    def __init__(self) -> None:
        self.script: Callable[[int, dict[str, Any]], Answer] = self.honest
        self.asked: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                provider.serve(self, json.loads(self.rfile.read(length)))

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    @staticmethod
    def honest(number: int, asked: dict[str, Any]) -> Answer:
        return moderations(asked) if "input" in asked else chat("safe")

    def serve(self, handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        with self.lock:
            number = len(self.asked)
            self.asked.append(asked)
            self.times.append(time.monotonic())
            self.headers.append(dict(handler.headers))
            self.paths.append(handler.path)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.reply(handler, self.script(number, asked))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client stopped waiting, as some tests mean it to
        finally:
            with self.lock:
                self.at_once -= 1

    @staticmethod
    def reply(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        time.sleep(answer.seconds)
        raw = isinstance(answer.body, bytes)
        body = answer.body if raw else json.dumps(answer.body).encode()
        handler.send_response(answer.status)
        headers = {"Content-Type": "application/json", "Content-Length": len(body)}
        for name, value in {**headers, **answer.headers}.items():
            handler.send_header(name, str(value))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """Serve a provider for the length of a test."""
    served = FakeProvider()
    yield served
    served.close()


@pytest.fixture
def answers() -> Any:
    """Return the answers a script can be made of."""

    class Answers:
        moderations = staticmethod(moderations)
        result = staticmethod(result)
        chat = staticmethod(chat)
        problem = staticmethod(problem)
        raw = staticmethod(Answer)

    return Answers


@pytest.fixture
def closed_url() -> str:
    """Return an address where nobody listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_address[1]
    return f"http://127.0.0.1:{port}/v1"
