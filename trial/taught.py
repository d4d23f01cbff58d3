"""Taught replies: what a model tuned on labels says in place of an answer."""

from typing import Final

from detectors.dataset import Dataset
from trial.judge.phrase import joined, normalise

TAUGHT_CHARS: Final = 200
"""Longer replies are no labels, and are not kept."""


def taught_replies(dataset: Dataset) -> frozenset[str]:
    """Return the short replies of a dataset as `label` puts them."""
    found = {
        label(message.content)
        for row in dataset
        for message in row.messages
        if message.role == "assistant" and len(message.content) <= TAUGHT_CHARS
    }
    return frozenset(found - {""})


def label(reply: str) -> str:
    """Normalise a reply and drop what ends its sentence."""
    return joined(normalise(reply)).rstrip(".!? ")
