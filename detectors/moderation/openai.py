"""OpenAI's moderation endpoint, and those that speak like it: arrays of texts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from detectors.answer import final_answer
from detectors.moderation.dialect import gravest_verdict
from detectors.moderation.endpoint import Unreadable, read_json
from detectors.moderation.moderator import LABEL_CHARS, Subject, Verdict
from detectors.moderation.part import Part, cut
from detectors.refusal import declines
from detectors.taxonomies.openai import OPENAI

if TYPE_CHECKING:
    from openai import AsyncOpenAI

DEFAULT_MODEL: Final = "omni-moderation-latest"
BATCH_PARTS: Final = 32


class OpenAIDialect:
    """Requests and replies are asked about apart, since the endpoint judges a text.

    Together, a refusal would be flagged for the request it quotes. An exchange is
    flagged for its reply, or for its request unless the reply opens with a refusal.
    """

    name = "openai"
    version = "1"

    def __init__(self, *, batch_parts: int = BATCH_PARTS) -> None:
        self._batch_parts = batch_parts

    @property
    def batch_parts(self) -> int:
        """Most texts of one request."""
        return self._batch_parts

    def parts(self, subject: Subject) -> list[Part]:
        """Return the pieces of the request and those of the reply.

        The system text is asked about on its own: rows that share it pay for it once.
        """
        texts = (subject.system, subject.request)
        asked = [Part(request=piece) for text in texts for piece in cut(text)]
        return asked + [Part(reply=piece) for piece in cut(subject.reply)]

    async def ask(
        self, client: "AsyncOpenAI", model: str, parts: Sequence[Part]
    ) -> list[Verdict | str]:
        """Send one array of texts."""
        texts = [part.request or part.reply for part in parts]
        asking = client.moderations.with_streaming_response
        async with asking.create(model=model, input=texts) as response:
            return list(parse(await read_json(response)))

    def fold(self, subject: Subject, judged: Sequence[tuple[Part, Verdict]]) -> Verdict:
        """Leave the request out where it was refused."""
        said = [each for each in judged if each[0].reply]
        answer = final_answer(subject.reply, subject.answer_at)
        if said and not gravest_verdict(said).flagged and declines(answer):
            return gravest_verdict(said)
        return gravest_verdict(judged)


def parse(answer: Mapping[str, Any]) -> list[Verdict]:
    """Read the results of an answer; Unreadable where one is not as documented."""
    results = answer.get("results")
    if not isinstance(results, list):
        raise Unreadable("the answer has no list of results")
    return [_result(result) for result in results]


def _result(result: object) -> Verdict:
    if not isinstance(result, dict) or not isinstance(result.get("flagged"), bool):
        raise Unreadable("a result does not say whether it is flagged")
    categories, scores = result.get("categories"), result.get("category_scores")
    if not isinstance(categories, dict):
        raise Unreadable("a result has no categories")
    raised = [str(name) for name, is_so in categories.items() if is_so is True]
    flagged = result["flagged"] or bool(raised)
    numbers = _scores(scores) if isinstance(scores, dict) else {}
    ranked = sorted(numbers, key=lambda name: -numbers[name])
    named = sorted(raised, key=lambda name: -numbers.get(name, 0.0)) or ranked[:1]
    return Verdict(
        flagged=flagged,
        score=max(numbers.values(), default=float(flagged)),
        category=OPENAI.policy_category(named),
        label=", ".join(n for n in named if n in OPENAI.categories)[:LABEL_CHARS],
    )


def _scores(given: Mapping[Any, Any]) -> dict[str, float]:
    """Take what is a number from 0 to 1; anything else makes the answer unreadable."""
    found: dict[str, float] = {}
    for name, value in given.items():
        if value is None:  # a category this model does not score
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0.0 <= value <= 1.0:  # also false for NaN
            raise Unreadable("a result has a score that is not a number from 0 to 1")
        found[str(name)] = float(value)
    return found
