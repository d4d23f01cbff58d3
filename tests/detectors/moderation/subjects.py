"""Exchanges to moderate, and what was said of them, for tests of the providers."""

from collections.abc import Callable, Sequence

from detectors.moderation.moderator import Moderation, Subject
from detectors.moderation.remote import RemoteModerator

Make = Callable[..., RemoteModerator]
SAFE = Subject("What is the capital of Peru?", "Lima.")


def numbered(count: int, bad: Sequence[int] = ()) -> list[Subject]:
    """Subjects of one part each: a reply alone."""
    return [Subject("", f"{'BAD' if n in bad else 'fine'} {n}") for n in range(count)]


def flags(said: Moderation) -> list[bool | None]:
    return [None if v is None else v.flagged for v in said.verdicts]
