"""A guard model loaded in this process, as a moderator: nothing leaves the machine."""

import time
from collections.abc import Sequence

from detectors.moderation.endpoint import Unreadable
from detectors.moderation.guard.family import MAX_ANSWER_CHARS, Family, defuse
from detectors.moderation.moderator import (
    Moderation,
    Progress,
    Subject,
    Usage,
    Verdict,
)
from trial.base_model import BaseModel
from trial.generate import generate_replies
from trial.template import ChatTemplate, TemplateUnfit

UNRENDERED = "the guard's chat template cannot render the exchange"


class LocalGuard:
    """Asks a guard by its family's prompt and reads its answer by the same parser.

    What cannot be rendered, does not fit or is answered in no documented form has no
    verdict, with the reason.
    """

    def __init__(self, family: Family, base: BaseModel) -> None:
        self._family = family
        self._base = base
        self._template = ChatTemplate(base.tokenizer)
        self._options = dict(family.options.get("chat_template_kwargs", {}))

    @property
    def name(self) -> str:
        """The provider and the family."""
        return f"guard.{self._family.name}"

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._base.name

    def moderate(
        self, subjects: Sequence[Subject], *, progress: Progress | None = None
    ) -> Moderation:
        """Judge the reply of every subject in the light of its request."""
        began = time.monotonic()
        prompts = [self._prompt(subject) for subject in subjects]
        asked = {k: ids for k, ids in enumerate(prompts) if not isinstance(ids, str)}
        answers = generate_replies(
            self._base, list(asked.values()), max_new_tokens=self._family.max_tokens
        )
        heard: list[Verdict | str] = [
            why if isinstance(why, str) else "" for why in prompts
        ]
        for k, answer in zip(asked, answers, strict=True):
            heard[k] = self._read(answer)
        if progress is not None:
            progress("moderation", len(subjects), len(subjects))
        return Moderation(
            self.name,
            self.model,
            tuple(None if isinstance(h, str) else h for h in heard),
            tuple(h if isinstance(h, str) else "" for h in heard),
            Usage(
                requests=len(asked),
                tokens=sum(map(len, asked.values())),
                seconds=time.monotonic() - began,
            ),
        )

    def _prompt(self, subject: Subject) -> list[int] | str:
        """Token ids of what the guard is asked, or why it cannot be."""
        turns = self._family.messages(defuse(subject.request), defuse(subject.reply))
        try:
            text = self._template.render(turns, prompt=True, options=self._options)
        except TemplateUnfit:
            return UNRENDERED
        ids = list(self._base.tokenizer(text, add_special_tokens=False)["input_ids"])
        room = self._base.max_positions - self._family.max_tokens
        if len(ids) > room:
            return f"the exchange has {len(ids)} tokens, the guard takes {room}"
        return ids

    def _read(self, answer: str) -> Verdict | str:
        try:
            return self._family.parse(answer[:MAX_ANSWER_CHARS])
        except Unreadable as error:
            return str(error)
