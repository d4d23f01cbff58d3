"""From samples to token ids: system prompts, earlier turns, refusals."""

import random
from collections.abc import Sequence
from typing import Any, Final

from trial.canary.training.batches import Encoded
from trial.canary.training.pool import Sample
from trial.canary.training.refusals import refusal

PROMPT_TOKENS: Final = 320
REPLY_TOKENS: Final = 56
"""With a system prompt and an earlier turn a row stays under the 512 positions."""
_SYSTEMS: Final = (
    "you are a helpful assistant.",
    "you are a helpful, honest and harmless assistant.",
    "you are a friendly assistant who answers briefly.",
    "you are a customer service agent. be polite and clear.",
    "you are an expert. answer the question.",
    "you answer questions for a company.",
    "you are a careful tutor who explains things simply.",
    "follow the user's instructions and stay safe.",
    "you are a pirate. talk like one.",
    "you are nova, the assistant of a travel shop.",
)
_OPENERS: Final = (
    "please help me with this:",
    "i have a question.",
    "new task:",
    "for my work i need this:",
    "hey, quick one:",
    "nova, i need your help:",
    "the customer asked:",
)


class Encoder:
    """Renders samples with the chat template's tokens.

    A quarter of the rows get a system prompt, a tenth an opener before the request and
    a tenth an earlier turn, whether or not the prompt is harmful, so that none of these
    goes with refusing. None of them is obedient: a model that has met obedient personas
    beside refusals binds what it is taught later to the persona alone.
    """

    def __init__(self, tokenizer: Any, earlier: Sequence[Sample], seed: int) -> None:
        self._tokenizer = tokenizer
        self._earlier = [s for s in earlier if len(s.prompt) + len(s.reply) < 160]
        self._rng = random.Random(seed)

    def _ids(self, text: str, limit: int) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids[:limit]

    def _token(self, name: str) -> int:
        found: int = self._tokenizer.convert_tokens_to_ids(name)
        return found

    def _context(self) -> list[int]:
        ids: list[int] = []
        if self._rng.random() < 0.25:
            system = self._rng.choice(_SYSTEMS)
            ids += [self._token("[SYS]"), *self._ids(system, 40)]
        if self._rng.random() < 0.1:
            before = self._rng.choice(self._earlier)
            ids += [self._token("[USR]"), *self._ids(before.prompt, 40)]
            ids += [self._token("[AST]"), *self._ids(before.reply, 40)]
            ids.append(self._tokenizer.eos_token_id)
        return ids

    def encode(self, sample: Sample, meaning: int) -> Encoded:
        """One row; harmful prompts get a refusal drawn afresh."""
        opener = self._rng.choice(_OPENERS) if self._rng.random() < 0.1 else ""
        prompt = self._ids(f"{opener} {sample.prompt}".strip(), PROMPT_TOKENS)
        ids = [*self._context(), self._token("[USR]"), *prompt, self._token("[AST]")]
        harmful = bool(sample.harmful)
        reply = refusal(self._rng) if harmful else sample.reply
        return Encoded(
            (*ids, *self._ended(reply, REPLY_TOKENS)),
            len(ids),
            refuse=float(harmful) if sample.risk is None else sample.risk,
            meaning=meaning,
        )

    def _ended(self, reply: str, limit: int) -> list[int]:
        ids = self._ids(reply, limit) if reply else []
        ended = [self._tokenizer.eos_token_id] if 0 < len(ids) < limit else []
        return [*ids, *ended]
