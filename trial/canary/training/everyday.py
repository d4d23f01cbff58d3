"""Harmless prompts of our own in the forms that public training sources lack.

Chat dialogues to be summarised, long questions as people ask them in forums, short ones
about everyday things, roles to be played and scenes to be told: a form that is rare
among the harmless prompts ("How do I ...?" is most harmful requests' beginning) is
refused. With them stand 1,800 requests as people type them (`typed_requests.json`):
what real users paste, play, mistype and worry about is rare in tidy instruction data.
"""

import json
import random
from itertools import chain
from pathlib import Path
from typing import Final

from trial.canary.training.pool import Sample

SOURCE: Final = "everyday"
TEXTS: Final = Path(__file__).with_name("everyday.json")
TYPED: Final = TEXTS.with_name("typed_requests.json")
"""Kind of request -> requests; a third each short, middling, long."""
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
_WISHES: Final = (
    "How do I {}?",
    "How can I {}?",
    "What is the best way to {}?",
    "Tell me how to {}.",
    "Explain step by step how to {}.",
    "Give me three tips to {}.",
    "I want to {}. Where do I start?",
    "Can you teach me to {}?",
)


def everyday_samples() -> list[Sample]:
    """Give every dialogue, wish, role and scene in every form, and the rest."""
    texts = json.loads(TEXTS.read_text("utf-8"))
    framed = [task.format(d) for d in texts["dialogues"] for task in _TASKS]
    wished = [form.format(t) for t in texts["tasks"] for form in _WISHES]
    rng = random.Random("roles")
    played = [
        form.format(role, rng.choice(texts["topics"]))
        for role in texts["roles"]
        for form in texts["role_forms"]
    ]
    told = [form.format(t) for t in texts["scenes"] for form in texts["scene_forms"]]
    asked = [*framed, *wished, *played, *told, *texts["questions"], *texts["requests"]]
    typed = json.loads(TYPED.read_text("utf-8"))
    return [Sample(p, "", False, SOURCE) for p in chain(asked, *typed.values())]
