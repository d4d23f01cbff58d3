"""Exchanges that the control markers of a chat template open inside of a message."""

from collections.abc import Iterator

from detectors.dataset import Example, Exchange
from detectors.reading.template import replies_within


def marked_exchanges(example: Example) -> Iterator[tuple[Exchange, int]]:
    """Yield each such exchange, and where in message `turn` its reply begins.

    A trainer's tokenizer makes turns of them, in whichever message they stand.
    """
    asked: list[str] = []
    for turn, message in enumerate(example.messages):
        for request, reply, start in replies_within(message.content, message.role):
            request = request or "\n".join(asked)
            yield Exchange(example.system, request, reply, turn), start
        if message.role == "assistant":
            asked = []
        else:
            asked.append(message.content)
