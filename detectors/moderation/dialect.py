"""Dialect: how one kind of endpoint is asked, and what its answers mean."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from detectors.moderation.moderator import Subject, Verdict
from detectors.moderation.part import Part

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class Dialect(Protocol):
    """What differs between providers over HTTP; `RemoteModerator` does the rest."""

    @property
    def name(self) -> str:
        """The provider."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever prompt or parser do: part of the key of a kept verdict."""
        ...

    @property
    def batch_parts(self) -> int:
        """Most parts of one request."""
        ...

    def parts(self, subject: Subject) -> list[Part]:
        """Return what must be asked about a subject; [] where it has no text."""
        ...

    async def ask(
        self, client: "AsyncOpenAI", model: str, parts: Sequence[Part]
    ) -> list[Verdict | str]:
        """Send one request; a string says why a single part has no verdict.

        Raises OpenAIError, or Unreadable where the answer as a whole makes no sense.
        """
        ...

    def fold(self, subject: Subject, judged: Sequence[tuple[Part, Verdict]]) -> Verdict:
        """Make one verdict of those on the parts of a subject; never called empty."""
        ...


def gravest_verdict(judged: Sequence[tuple[Part, Verdict]]) -> Verdict:
    """Return the gravest verdict."""
    return max((verdict for _, verdict in judged), key=lambda v: v.rank)
