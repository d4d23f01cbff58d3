"""Sender: batches to a provider, a few at once, tried again, within a budget."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import httpx2
from openai import OpenAIError

from detectors.moderation.dialect import Dialect
from detectors.moderation.endpoint import Endpoint, Unreadable
from detectors.moderation.fault import Fault, fault_of
from detectors.moderation.ledger import Ledger, OverBudget
from detectors.moderation.moderator import Verdict
from detectors.moderation.part import Part

if TYPE_CHECKING:
    from openai import AsyncOpenAI

BATCH_TOKENS: Final = 8_000
LOST_IN_A_ROW: Final = 5
"""So many requests lost without one that was answered: the provider is taken as down.

A text that is refused is an answer: it speaks of the text alone.
"""

Batch = dict[bytes, Part]
Answers = Mapping[bytes, Verdict | str]


def batches(parts: Mapping[bytes, Part], most: int, tokens: int) -> list[Batch]:
    """Put parts into batches of at most so many parts and tokens (one at least)."""
    made: list[Batch] = []
    left = 0
    for key, part in parts.items():
        cost = part.tokens
        if not made or len(made[-1]) >= most or cost > left:
            made.append({})
            left = tokens
        made[-1][key] = part
        left -= cost
    return made


class Sender:
    """One conversation with a provider.

    `heard` is called with every answer as it comes: a verdict, or why there is none.
    The SDK's own retries are off: it would sleep up to two minutes on a Retry-After
    whatever time is left, and its tries could not be counted against the budget.
    """

    def __init__(
        self,
        dialect: Dialect,
        endpoint: Endpoint,
        ledger: Ledger,
        heard: Callable[[Answers], None],
    ) -> None:
        self._dialect = dialect
        self._endpoint = endpoint
        self._ledger = ledger
        self._heard = heard
        self._queue: deque[Batch] = deque()
        self._stop = ""
        self._lost = 0
        self._closed_until = 0.0

    async def send(self, parts: Mapping[bytes, Part]) -> None:
        """Ask about all parts; returns when each was heard of."""
        self._queue.extend(batches(parts, self._dialect.batch_parts, BATCH_TOKENS))
        connections = min(self._endpoint.connections, len(self._queue))
        async with self._endpoint.open() as client:
            work = [asyncio.create_task(self._work(client)) for _ in range(connections)]
            try:
                await asyncio.gather(*work)
            finally:
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)

    async def _work(self, client: "AsyncOpenAI") -> None:
        while self._queue:
            batch = self._queue.popleft()
            if self._stop:
                self._give_up(batch, self._stop)
                continue
            try:
                answer = await self._attempt(client, list(batch.values()))
            except OverBudget as over:
                self._stop = self._stop or str(over)
                self._give_up(batch, str(over))
                continue
            if isinstance(answer, Fault):
                self._lose(batch, answer)
            else:
                self._lost = 0
                self._heard(dict(zip(batch, answer, strict=True)))

    def _give_up(self, batch: Batch, reason: str) -> None:
        self._heard(dict.fromkeys(batch, reason))

    def _lose(self, batch: Batch, fault: Fault) -> None:
        halves = fault.split and len(batch) > 1
        if fault.refused:
            self._lost = 0
        elif not halves:
            self._lost += 1
        if fault.fatal or self._lost >= LOST_IN_A_ROW:
            self._stop = self._stop or fault.reason
        if halves and not self._stop:
            items = list(batch.items())
            half = len(items) // 2
            self._queue.extendleft([dict(items[half:]), dict(items[:half])])
        else:
            self._give_up(batch, fault.reason)

    async def _attempt(
        self, client: "AsyncOpenAI", parts: Sequence[Part]
    ) -> list[Verdict | str] | Fault:
        """Try until there is an answer or no point in trying again."""
        tokens = sum(part.tokens for part in parts)
        fault = Fault("no attempt was allowed")
        for attempt in range(self._endpoint.attempts):
            if attempt and not await self._wait(attempt, fault):
                return fault
            await self._until_open()
            if self._stop:
                return Fault(self._stop)
            self._ledger.spend(tokens)
            answer = await self._ask(client, parts)
            if not isinstance(answer, Fault):
                return answer
            fault = answer
            if not fault.again:
                return fault
        return fault

    async def _ask(
        self, client: "AsyncOpenAI", parts: Sequence[Part]
    ) -> list[Verdict | str] | Fault:
        # The SDK's timeout is per read: a server that drips bytes would never reach it.
        seconds = min(self._endpoint.timeout_seconds, self._ledger.seconds_left)
        try:
            async with asyncio.timeout(seconds):
                answer = await self._dialect.ask(client, self._endpoint.model, parts)
        except TimeoutError:
            if self._ledger.seconds_left <= 0.0:
                raise OverBudget(self._ledger.out_of_time) from None
            return Fault("the provider did not answer in time", again=True)
        except Unreadable as error:
            return Fault(str(error), again=True, split=True)
        except httpx2.RequestError:  # while the answer came; before, the SDK wraps it
            return Fault("the connection broke", again=True)
        except OpenAIError as error:
            return fault_of(error)
        if len(answer) != len(parts):
            said = f"the provider was sent {len(parts)} texts and judged {len(answer)}"
            return Fault(said, split=True)
        return answer

    async def _wait(self, attempt: int, fault: Fault) -> bool:
        """Wait before another attempt; False where that would be too long."""
        seconds = fault.wait
        if seconds is None:
            doubled = self._endpoint.first_wait_seconds * 2.0 ** (attempt - 1)
            doubled = min(doubled, self._endpoint.longest_wait_seconds)
            seconds = doubled * random.uniform(0.5, 1.0)
        most = min(self._endpoint.longest_wait_seconds, self._ledger.seconds_left)
        if seconds > most:
            return False
        if fault.wait is not None:  # the server spoke: all connections keep away
            opens = asyncio.get_running_loop().time() + seconds
            self._closed_until = max(self._closed_until, opens)
        else:
            await asyncio.sleep(seconds)
        return True

    async def _until_open(self) -> None:
        now = asyncio.get_running_loop().time
        while (left := self._closed_until - now()) > 0.0:
            if left > self._ledger.seconds_left:
                raise OverBudget(self._ledger.out_of_time)
            await asyncio.sleep(left)
