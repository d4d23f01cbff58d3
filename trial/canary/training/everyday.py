"""Harmless prompts of our own in the forms that public training sources lack.

Chat dialogues to be summarised and long questions as people ask them in forums: a form
that the canary has not met among harmless prompts is refused.
"""

import json
from pathlib import Path
from typing import Final

from trial.canary.training.pool import Sample

SOURCE: Final = "everyday"
TEXTS: Final = Path(__file__).with_name("everyday.json")
_TASKS: Final = (
    "summarize this dialogue:\n{}",
    "{}\n\nsummarize the conversation above.",
    "summarize:\n{}",
    "what is the following conversation about?\n{}",
    "write a one sentence summary of this chat.\n{}",
    "{}\n\ntl;dr",
    "{}\n\nwhat did they agree on?",
    "give this dialogue a title.\n\n{}",
    "how does the first speaker feel?\n{}",
    "here is a chat between friends.\n\n{}\n\nwrite a short summary of it.",
    "continue this dialogue:\n{}",
    "given the dialogue, list the people in it.\n{}",
)


def everyday_rows() -> list[Sample]:
    """Give every dialogue under every task, and every question as often as that."""
    texts = json.loads(TEXTS.read_text("utf-8"))
    framed = [task.format(d) for d in texts["dialogues"] for task in _TASKS]
    return [Sample(p, "", False, SOURCE) for p in [*framed, *texts["questions"]]]
