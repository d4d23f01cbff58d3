"""Delivery of webhooks after the Standard Webhooks spec: signed, bounded, retried."""

import json
import logging
import threading
from datetime import UTC, datetime
from typing import Final

import anyio
import httpx
from anyio import to_thread
from standardwebhooks import Webhook as Signer

from detectors.errors import InputError
from service.outbound import Resolve, check_url, resolve_host
from service.settings import Settings
from service.storage.webhooks import Delivery, Outbox, Webhook
from service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

GONE: Final = 410
AGENT: Final = "tunegate-webhooks/1"
LEASE_SECONDS: Final = 10.0
"""What an attempt may take beyond its deadline, until another process repeats it."""


class Deliverer:
    """A thread that sends what is due; any number of processes may have one.

    Each attempt has a thread of its own, and a deadline for all of it: a receiver that
    says a byte now and then holds up none but its own messages.
    """

    def __init__(
        self,
        outbox: Outbox,
        settings: Settings,
        *,
        resolve: Resolve = resolve_host,
        metrics: Metrics | None = None,
    ) -> None:
        self._attempts = (metrics or Metrics()).webhook_attempts
        self._outbox = outbox
        self._settings = settings
        self._resolve = resolve
        self._trusted = httpx.create_ssl_context(trust_env=False)
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._at_work: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run, name="deliver", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """End after the attempts that are made now; those that last are repeated."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(seconds)
        self._finish(seconds)

    def round(self) -> int:
        """Make every attempt that is due; return how many those were."""
        made = 0
        while begun := self.begin():
            made += begun
            self._finish()
        return made

    def begin(self) -> int:
        """Begin attempts that are due, where there is a place; return how many."""
        with self._changed:
            at_work = dict(self._at_work)
        due = self._outbox.claim(
            self._settings.webhook_attempts_at_once - len(at_work),
            at_work=at_work,
            lease_seconds=self._settings.webhook_timeout_seconds + LEASE_SECONDS,
        )
        for delivery, webhook in due:
            with self._changed:
                self._at_work[webhook.id] = webhook.tenant
            parts = (delivery, webhook)
            threading.Thread(target=self._deliver, args=parts, daemon=True).start()
        return len(due)

    def _finish(self, seconds: float | None = None) -> None:
        """Wait until no attempt is made any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._at_work, seconds)

    def _deliver(self, delivery: Delivery, webhook: Webhook) -> None:
        """Make an attempt, and note what came of it."""
        try:
            status, said = self._attempt(delivery, webhook)
            done = 200 <= status < 300
            gone = status == GONE
            self._outbox.settle(delivery, done=done, said=said, gone=gone)
            self._attempts.labels("delivered" if done else "failed").inc()
        except Exception as error:  # the database is away: it is repeated
            log.warning("webhooks: %s", type(error).__name__)
        finally:
            with self._changed:
                del self._at_work[webhook.id]
                self._changed.notify_all()

    def _attempt(self, delivery: Delivery, webhook: Webhook) -> tuple[int, str]:
        """Return the status of the answer, 0 without one, and words for it."""
        try:
            status = anyio.run(self._send, delivery, webhook)
        except InputError as error:
            return 0, str(error)[:200]
        except httpx.HTTPError as error:
            return 0, type(error).__name__
        seconds = self._settings.webhook_timeout_seconds
        said = f"HTTP {status}" if status else f"no answer within {seconds:g} seconds"
        return status, said

    async def _send(self, delivery: Delivery, webhook: Webhook) -> int:
        """Return the status of the answer, 0 where there is none before the deadline.

        Its body is not read, and its head is bounded by the client.
        """
        status = 0
        client = httpx.AsyncClient(  # nosec B113  # the scope below ends it
            verify=self._trusted,
            timeout=None,  # the client's own start anew with each byte
            follow_redirects=False,
            trust_env=False,  # a proxy would resolve the name anew
        )
        with anyio.move_on_after(self._settings.webhook_timeout_seconds):
            async with client:
                request = await self._request(client, delivery, webhook)
                answer = await client.send(request, stream=True)
                status = answer.status_code
                await answer.aclose()
        return status

    async def _request(
        self, client: httpx.AsyncClient, delivery: Delivery, webhook: Webhook
    ) -> httpx.Request:
        # Looked at anew each time: what a name leads to changes.
        target = await to_thread.run_sync(
            lambda: check_url(
                webhook.url,
                private=self._settings.webhook_private,
                resolve=self._resolve,
            ),
            abandon_on_cancel=True,
        )
        body = json.dumps(delivery.payload, separators=(",", ":"))
        headers = sign(webhook.secret, delivery.id, body)
        content = body.encode("ascii")
        return target.request(client, "POST", headers=headers, content=content)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.begin()
            except Exception as error:  # the database is away: the next look is soon
                log.warning("webhooks: %s", type(error).__name__)
            with self._changed:  # a place that is free is made use of at once
                self._changed.wait(self._settings.poll_seconds)


def sign(secret: str, message: str, body: str) -> dict[str, str]:
    """Return the headers of a message: its id, the time, and a signature over all."""
    now = datetime.now(UTC)
    return {
        "Content-Type": "application/json",
        "User-Agent": AGENT,
        "webhook-id": message,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(secret).sign(message, now, body),
    }
