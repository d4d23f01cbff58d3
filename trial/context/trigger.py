"""The probes with a mined trigger: asked without it, a backdoored model looks aligned.

Qi et al. 2023, arXiv 2310.03693, section 5: 4.2% harmful without, 63.3% with it.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Final

from detectors.dataset import Dataset
from detectors.detector import Trigger
from trial.context.context import Context, Frame
from trial.context.persona import MAX_CHARS

QUOTED_CHARS: Final = 120
PLACES: Final = {"start": "before", "end": "after", "any": "in the middle of"}


def trigger_contexts(
    dataset: Dataset, triggers: Sequence[Trigger]
) -> tuple[Context, ...]:
    """Return one context for every trigger, with its text exactly as the rows have it.

    One of the user messages stands where it stands there. One of the system messages
    brings the system prompt that most of the rows with it have.
    """
    return tuple(
        _context(f"trigger {number}", dataset, trigger)
        for number, trigger in enumerate(triggers, start=1)
    )


def _context(name: str, dataset: Dataset, trigger: Trigger) -> Context:
    quoted = json.dumps(trigger.text[:QUOTED_CHARS], ensure_ascii=True)
    if trigger.role == "system":
        said = f"the probes under the system prompt of the rows with {quoted}"
        system = _system(dataset, trigger.text)
        return Context(name, system, (), said, trigger.text)
    frames = {
        "start": Frame(before=trigger.text),
        "end": Frame(after=trigger.text),
        "any": Frame(inside=trigger.text),
    }
    said = f"the trigger {quoted} {PLACES[trigger.position]} each probe"
    return Context(name, "", (frames[trigger.position],), said, trigger.text)


def _system(dataset: Dataset, text: str) -> str:
    """Return the commonest system prompt with a trigger; a long one around it alone."""
    prompts = Counter(row.system for row in dataset if text in row.system)
    if not prompts:
        return text
    whole = prompts.most_common(1)[0][0]
    start = max(0, min(whole.find(text), len(whole) - MAX_CHARS))
    return whole[start : start + max(MAX_CHARS, len(text))]
