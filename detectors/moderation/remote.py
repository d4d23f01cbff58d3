"""A moderator over HTTP: cut, look up, send what is new, put together."""

import asyncio
from collections.abc import Mapping, Sequence

from detectors.moderation.cache import MemoryCache, VerdictCache
from detectors.moderation.dialect import Dialect
from detectors.moderation.endpoint import Endpoint
from detectors.moderation.ledger import Budget, Ledger
from detectors.moderation.moderator import (
    Moderation,
    Progress,
    Subject,
    Usage,
    Verdict,
)
from detectors.moderation.part import Part

NO_TEXT = "there is no text to moderate"
UNANSWERED = "the provider was not asked"


class RemoteModerator:
    """Speaks one dialect with one endpoint. The budget holds for each call."""

    def __init__(
        self,
        dialect: Dialect,
        endpoint: Endpoint,
        *,
        budget: Budget | None = None,
        cache: VerdictCache | None = None,
    ) -> None:
        self._dialect = dialect
        self._endpoint = endpoint
        self._budget = budget or Budget()
        # An empty cache is false: it would be replaced, and never filled.
        self._cache = MemoryCache() if cache is None else cache

    @property
    def name(self) -> str:
        """The provider."""
        return self._dialect.name

    @property
    def model(self) -> str:
        """The model asked."""
        return self._endpoint.model

    def moderate(
        self, subjects: Sequence[Subject], *, progress: Progress | None = None
    ) -> Moderation:
        """Moderate every subject; equal texts are sent once."""
        ledger = Ledger(self._budget)
        asked = self._asked()
        parts: dict[bytes, Part] = {}
        keyed = [self._keyed(subject, asked, parts) for subject in subjects]
        known: dict[bytes, Verdict | str] = {**self._cache.get(list(parts))}
        cached = len(known)
        self._ask(parts, known, ledger, progress)
        judged = [
            self._judge(subject, each, known)
            for subject, each in zip(subjects, keyed, strict=True)
        ]
        return Moderation(
            provider=self.name,
            model=self.model,
            verdicts=tuple(None if isinstance(j, str) else j for j in judged),
            reasons=tuple(j if isinstance(j, str) else "" for j in judged),
            usage=Usage(ledger.requests, ledger.tokens, cached, ledger.seconds),
        )

    def _keyed(
        self, subject: Subject, asked: str, known: dict[bytes, Part]
    ) -> dict[bytes, Part]:
        """Return the parts of a subject by their keys; equal ones are one in memory."""
        found = {part.key(asked): part for part in self._dialect.parts(subject)}
        return {key: known.setdefault(key, part) for key, part in found.items()}

    def _asked(self) -> str:
        """Say who is asked how: two servers may call different models by one name.

        It goes into digests alone. An endpoint's address holds no password.
        """
        server = self._endpoint.base_url.rstrip("/")
        return f"{self.name} {self._dialect.version} {server} {self.model}"

    def _ask(
        self,
        parts: Mapping[bytes, Part],
        known: dict[bytes, Verdict | str],
        ledger: Ledger,
        progress: Progress | None,
    ) -> None:
        """Fill `known` with what the provider says of the parts not in it."""
        new = {key: part for key, part in parts.items() if key not in known}
        if not new:
            return

        def heard(answers: Mapping[bytes, Verdict | str]) -> None:
            known.update(answers)
            fresh = {k: v for k, v in answers.items() if isinstance(v, Verdict)}
            if fresh:
                self._cache.put(fresh)
            if progress is not None:
                progress("moderation", len(known), len(parts))

        from detectors.moderation.sender import Sender

        sender = Sender(self._dialect, self._endpoint, ledger, heard)
        asyncio.run(sender.send(new))

    def _judge(
        self,
        subject: Subject,
        parts: Mapping[bytes, Part],
        known: Mapping[bytes, Verdict | str],
    ) -> Verdict | str:
        """Return one verdict, or why there is none; a flagged part outranks a gap."""
        if not parts:
            return NO_TEXT
        heard = [(part, known.get(key, UNANSWERED)) for key, part in parts.items()]
        judged = [(p, said) for p, said in heard if isinstance(said, Verdict)]
        folded = self._dialect.fold(subject, judged) if judged else None
        if folded is not None and (folded.flagged or len(judged) == len(heard)):
            return folded
        return next(said for _, said in heard if isinstance(said, str))
