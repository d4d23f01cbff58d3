"""Delivery of webhooks after the Standard Webhooks spec: signed, bounded, retried."""

import json
import logging
import threading
from datetime import UTC, datetime
from typing import Final

import httpx
from standardwebhooks import Webhook as Signer

from detectors.errors import InputError
from service.outbound import Resolve, check_url, resolve_host
from service.settings import Settings
from service.storage.webhooks import Delivery, Outbox, Webhook
from service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

GONE: Final = 410
AGENT: Final = "tunegate-webhooks/1"


class Deliverer:
    """A thread that sends what is due; any number of processes may have one."""

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
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deliver", daemon=True)
        self._client = httpx.Client(
            timeout=settings.webhook_timeout_seconds,
            follow_redirects=False,
            trust_env=False,  # a proxy would resolve the name anew
        )

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """End after the attempt that is made now."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        self._client.close()

    def round(self) -> int:
        """Make every attempt that is due; return how many those were."""
        due = self._outbox.claim()
        for delivery, webhook in due:
            status, said = self._attempt(delivery, webhook)
            done = 200 <= status < 300
            gone = status == GONE
            self._outbox.settle(delivery, done=done, said=said, gone=gone)
            self._attempts.labels("delivered" if done else "failed").inc()
        return len(due)

    def _attempt(self, delivery: Delivery, webhook: Webhook) -> tuple[int, str]:
        """Return the status of the answer, 0 without one, and words for it."""
        try:
            # Looked at anew each time: what a name leads to changes.
            private = self._settings.webhook_private
            target = check_url(webhook.url, private=private, resolve=self._resolve)
            body = json.dumps(delivery.payload, separators=(",", ":"))
            request = target.request(
                self._client,
                "POST",
                headers=sign(webhook.secret, delivery.id, body),
                content=body.encode("ascii"),
            )
            answer = self._client.send(request, stream=True)  # its body is not read
            answer.close()
        except InputError as error:
            return 0, str(error)[:200]
        except httpx.HTTPError as error:
            return 0, type(error).__name__
        return answer.status_code, f"HTTP {answer.status_code}"

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.round()
            except Exception as error:  # the database is away: the next round is soon
                log.warning("webhooks: %s", type(error).__name__)
            self._stopping.wait(self._settings.poll_seconds)


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
