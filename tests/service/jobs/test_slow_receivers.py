"""Receivers that are slow on purpose: they hold up nobody but themselves."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest

from service.caller import SCOPES, Caller
from service.jobs.backend import Backend
from service.jobs.deliver import Deliverer
from service.policy import default_policy
from service.storage.screening import Order
from service.storage.webhooks import Delivery, Outbox, Webhook
from trial.recipe import Recipe

Speak = Callable[[socket.socket], None]
HEAD = b"HTTP/1.1 200 OK\r\n"


def drip_head(peer: socket.socket) -> None:
    peer.sendall(HEAD + b"X-A: ")
    while True:
        time.sleep(0.05)
        peer.sendall(b"a")


def say_nothing(peer: socket.socket) -> None:
    while peer.recv(65_536):
        continue


def say_wait(peer: socket.socket) -> None:
    while True:
        peer.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
        time.sleep(0.01)


def flood_head(peer: socket.socket) -> None:
    peer.sendall(HEAD)
    while True:
        peer.sendall(b"X-A: " + b"a" * 65_536)


def drip_body(peer: socket.socket) -> None:
    peer.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")
    while True:
        time.sleep(0.05)
        peer.sendall(b"a")


def flood_body(peer: socket.socket) -> None:
    peer.sendall(HEAD + b"Content-Length: 1000000000000\r\n\r\n")
    while True:
        peer.sendall(b"a" * 65_536)


class Slow:
    """A receiver on a real socket that answers in a way of its own."""

    def __init__(self, speak: Speak) -> None:
        self.messages: list[str] = []
        self.at_once = self.most_at_once = 0
        self._speak = speak
        self._guard = threading.Lock()
        self._peers: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/hook"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more, and hang up on those who wait."""
        self._listener.close()
        for peer in self._peers:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer = self._listener.accept()[0]
                self._peers.append(peer)
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, suppress(OSError):
            said = peer.recv(65_536).decode().lower()
            with self._guard:
                self.messages.append(said.partition("webhook-id: ")[2].split("\r")[0])
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                self._speak(peer)
            finally:
                with self._guard:
                    self.at_once -= 1


@pytest.fixture
def receivers() -> list[Slow]:
    """Every receiver of the test."""
    return []


@pytest.fixture
def slow(receivers: list[Slow]) -> Callable[[Speak], Slow]:
    """Return a function that starts a receiver."""

    def start(speak: Speak) -> Slow:
        receivers.append(Slow(speak))
        return receivers[-1]

    return start


@pytest.fixture
def deliver(
    backend: Backend, receivers: list[Slow]
) -> Iterator[Callable[..., Deliverer]]:
    """Return a function that makes a deliverer."""
    made: list[Deliverer] = []

    def make(**changed: Any) -> Deliverer:
        settings = {"webhook_private": True, "poll_seconds": 0.02, **changed}
        made.append(
            Deliverer(
                Outbox(backend.engine), backend.settings.model_copy(update=settings)
            )
        )
        return made[-1]

    yield make
    for receiver in receivers:
        receiver.close()
    for each in made:
        each.stop()


def tenant(name: str) -> Caller:
    return Caller(name, "", frozenset(SCOPES))


def finish(backend: Backend, by: Caller) -> None:
    """End a screening, so that its tenant is told."""
    order = Order("name", default_policy(), Recipe(), run_trial=False)
    upload = backend.store.datasets.receive(BytesIO(b"{}"))
    assert backend.store.finish(backend.accept(order, upload, by).id, "REVIEW", b"{}")


def only(backend: Backend, webhook: Webhook, by: Caller) -> Delivery:
    [found] = backend.webhooks(by).deliveries(webhook.id, limit=2)[0]
    return found


@pytest.mark.parametrize("speak", [drip_head, say_nothing, say_wait])
def test_another_tenant_is_told_while_a_receiver_says_nothing_much(
    backend: Backend,
    slow: Callable[[Speak], Slow],
    deliver: Callable[..., Deliverer],
    receiver: Any,
    wait: Any,
    speak: Speak,
) -> None:
    one, other = tenant("one"), tenant("other")
    dripping = slow(speak)
    backend.webhooks(one).add(dripping.url)
    backend.webhooks(other).add(receiver.url)
    deliver(webhook_timeout_seconds=20.0).start()
    finish(backend, one)
    wait(lambda: len(dripping.messages) == 1)
    began = time.monotonic()
    finish(backend, other)
    wait(lambda: len(receiver.got) == 1)
    assert time.monotonic() - began < 10
    assert dripping.at_once == 1


@pytest.mark.parametrize("speak", [drip_head, say_nothing, say_wait])
def test_an_attempt_ends_at_its_deadline_whatever_is_said_meanwhile(
    backend: Backend,
    slow: Callable[[Speak], Slow],
    deliver: Callable[..., Deliverer],
    speak: Speak,
) -> None:
    one = tenant("one")
    webhook = backend.webhooks(one).add(slow(speak).url)
    finish(backend, one)
    began = time.monotonic()
    assert deliver(webhook_timeout_seconds=0.5).round() == 1
    assert 0.5 <= time.monotonic() - began < 10
    found = only(backend, webhook, one)
    assert (found.state, found.attempts) == ("pending", 1)
    assert found.said == "no answer within 0.5 seconds"


def test_a_name_that_is_looked_up_for_long_is_given_up(
    backend: Backend, deliver: Callable[..., Deliverer]
) -> None:
    one, release = tenant("one"), threading.Event()
    webhook = backend.webhooks(one).add("https://example.com/")
    finish(backend, one)
    deliverer = deliver(webhook_timeout_seconds=0.3)
    deliverer._resolve = lambda *_: [str(release.wait(30))]
    began = time.monotonic()
    assert deliverer.round() == 1
    assert time.monotonic() - began < 10
    assert only(backend, webhook, one).said == "no answer within 0.3 seconds"
    release.set()


@pytest.mark.parametrize("speak", [drip_body, flood_body])
def test_the_body_of_an_answer_is_not_waited_for(
    backend: Backend,
    slow: Callable[[Speak], Slow],
    deliver: Callable[..., Deliverer],
    speak: Speak,
) -> None:
    one = tenant("one")
    webhook = backend.webhooks(one).add(slow(speak).url)
    finish(backend, one)
    began = time.monotonic()
    assert deliver(webhook_timeout_seconds=20.0).round() == 1
    assert time.monotonic() - began < 10
    assert only(backend, webhook, one).state == "delivered"


def test_an_answer_whose_head_has_no_end_is_a_failure(
    backend: Backend,
    slow: Callable[[Speak], Slow],
    deliver: Callable[..., Deliverer],
) -> None:
    one = tenant("one")
    webhook = backend.webhooks(one).add(slow(flood_head).url)
    finish(backend, one)
    assert deliver(webhook_timeout_seconds=8.0).round() == 1
    found = only(backend, webhook, one)
    assert (found.state, found.said) == ("pending", "RemoteProtocolError")


def later(peer: socket.socket) -> None:
    time.sleep(0.1)
    peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def test_a_webhook_gets_one_message_after_the_other_in_their_order(
    backend: Backend,
    slow: Callable[[Speak], Slow],
    deliver: Callable[..., Deliverer],
) -> None:
    one, receiver = tenant("one"), slow(later)
    webhook = backend.webhooks(one).add(receiver.url)
    for _ in range(4):
        finish(backend, one)
    assert deliver().round() == 4
    told = backend.webhooks(one).deliveries(webhook.id, limit=9)[0]
    assert receiver.messages == [each.id for each in reversed(told)]
    assert receiver.most_at_once == 1


def test_many_webhooks_of_a_tenant_leave_places_for_others(
    backend: Backend,
    slow: Callable[[Speak], Slow],
    deliver: Callable[..., Deliverer],
    receiver: Any,
    wait: Any,
) -> None:
    one, other = tenant("one"), tenant("other")
    dripping = slow(drip_head)
    for _ in range(5):
        backend.webhooks(one).add(dripping.url)
    backend.webhooks(other).add(receiver.url)
    deliver(webhook_timeout_seconds=20.0, webhook_attempts_at_once=3).start()
    finish(backend, one)
    wait(lambda: dripping.at_once == 2)
    finish(backend, other)
    began = time.monotonic()
    wait(lambda: len(receiver.got) == 1)
    assert time.monotonic() - began < 10
    assert dripping.most_at_once == 2


def test_a_stop_does_not_wait_for_one_that_drips(
    backend: Backend,
    slow: Callable[[Speak], Slow],
    deliver: Callable[..., Deliverer],
    wait: Any,
) -> None:
    one, dripping = tenant("one"), slow(drip_head)
    webhook = backend.webhooks(one).add(dripping.url)
    deliverer = deliver(webhook_timeout_seconds=20.0)
    deliverer.start()
    finish(backend, one)
    wait(lambda: dripping.at_once == 1)
    began = time.monotonic()
    deliverer.stop(0.2)
    assert time.monotonic() - began < 3
    assert only(backend, webhook, one).state == "pending"
