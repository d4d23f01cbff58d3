"""The base model's chat template: untrusted code, rendered as on one fixed day.

Models that reason are asked for their answer alone: a trial reads the beginnings of
replies.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerFast

from detectors.answer import without_open_block
from detectors.errors import TrialError

FAILURES: Final = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What a template may raise: it is a program of whoever wrote the model."""

MAX_WHY_CHARS: Final = 200
NO_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({})

_DATE: Final = {
    "%a": "Fri",
    "%A": "Friday",
    "%b": "Jul",
    "%B": "July",
    "%d": "26",
    "%-d": "26",
    "%e": "26",
    "%F": "2024-07-26",
    "%H": "12",
    "%I": "12",
    "%j": "208",
    "%m": "07",
    "%-m": "7",
    "%M": "00",
    "%p": "PM",
    "%S": "00",
    "%T": "12:00:00",
    "%y": "24",
    "%Y": "2024",
}
"""The day on which Llama's templates fall back where nobody tells them the date."""

_FIXED_DATE: Final = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(f" | replace('{code}', '{said}')" for code, said in _DATE.items())
    + " }}{% endmacro %}\n"
)
"""In front of a template it hides the clock that transformers gives to templates.

transformers hands a function given by the caller to no template.
"""


class TemplateUnfit(TrialError):
    """The chat template cannot put a conversation into words; the message says why."""

    def __init__(self, why: str) -> None:
        shown = "".join(c if c.isprintable() else " " for c in why[:MAX_WHY_CHARS])
        super().__init__(f"the chat template cannot put a question: {shown.strip()}")


class ChatTemplate:
    """Renders turns with one tokenizer's template, on every day the same."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        source = str(tokenizer.chat_template)
        self._options: dict[str, Any] = {}
        if "strftime_now" in source:
            self._options["chat_template"] = _FIXED_DATE + source
        if "enable_thinking" in source:
            self._options["enable_thinking"] = False

    def render(
        self,
        turns: Sequence[Mapping[str, Any]],
        *,
        prompt: bool,
        options: Mapping[str, Any] = NO_OPTIONS,
    ) -> str:
        """Render turns, with `prompt` up to where the assistant speaks next.

        A block of reasoning that a prompt opens is left out: finished turns lack it.
        `options` are variables that the template itself knows. Raises TemplateUnfit,
        whatever the template raises.
        """
        try:
            text = str(
                self._tokenizer.apply_chat_template(
                    [dict(turn) for turn in turns],
                    tokenize=False,
                    add_generation_prompt=prompt,
                    **self._options,
                    **options,
                )
            )
        except FAILURES as error:
            why = str(error) or type(error).__name__
            raise TemplateUnfit(why) from error
        return without_open_block(text) if prompt else text
