"""The dialect of guard models: one exchange a chat completion, one answer in words."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from detectors.moderation.dialect import gravest_verdict
from detectors.moderation.endpoint import Unreadable, read_json
from detectors.moderation.guard.family import MAX_ANSWER_CHARS, Family, defuse
from detectors.moderation.moderator import Subject, Verdict
from detectors.moderation.part import Part, pair

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class GuardDialect:
    """Asks a guard model about the reply in the light of its request.

    The system text goes before the request, in the same message: some templates know
    no other place for it.
    """

    batch_parts = 1

    def __init__(self, family: Family) -> None:
        self._family = family

    @property
    def name(self) -> str:
        """The provider and the family."""
        return f"guard.{self._family.name}"

    @property
    def version(self) -> str:
        """The version of prompt and parser."""
        return self._family.version

    def parts(self, subject: Subject) -> list[Part]:
        """Return the pieces of both texts, paired, their control markup broken up."""
        return pair(defuse(subject.asked), defuse(subject.reply))

    async def ask(
        self, client: "AsyncOpenAI", model: str, parts: Sequence[Part]
    ) -> list[Verdict | str]:
        """Ask about one exchange. What the model babbles is that exchange's trouble."""
        (part,) = parts
        asking = client.chat.completions.with_streaming_response
        async with asking.create(
            model=model,
            messages=self._family.messages(part.request, part.reply),  # type: ignore[arg-type]  # the SDK wants one type a role
            temperature=0.0,
            max_tokens=self._family.max_tokens,
            extra_body=dict(self._family.options),
        ) as response:
            answer = await read_json(response)
        text, whole = spoken(answer)
        if not whole and not self._family.cut_answers:
            return ["the answer was cut off"]
        try:
            return [self._family.parse(text[:MAX_ANSWER_CHARS])]
        except Unreadable as error:
            return [str(error)]

    def fold(self, subject: Subject, judged: Sequence[tuple[Part, Verdict]]) -> Verdict:
        """Take the gravest: every piece was judged as a reply."""
        return gravest_verdict(judged)


def spoken(answer: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the text of a chat completion, and whether the model came to its end."""
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    text = message.get("content") if isinstance(message, dict) else None
    if not isinstance(first, dict) or not isinstance(text, str):
        raise Unreadable("the answer has no message with text")
    return text, first.get("finish_reason") in (None, "stop")
