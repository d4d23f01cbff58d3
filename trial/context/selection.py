"""Which contexts a trial asks its probes in."""

from collections.abc import Sequence
from dataclasses import replace

from detectors.dataset import Dataset
from detectors.detector import Trigger
from detectors.embedding import Encoder
from trial.context.context import PLAIN, SAFETY, Context
from trial.context.persona import suspect_context, training_context
from trial.context.task import task_context
from trial.context.trigger import trigger_contexts


def find_contexts(
    dataset: Dataset,
    priority: Sequence[float] | None = None,
    triggers: Sequence[Trigger] = (),
    encoder: Encoder | None = None,
    *,
    everywhere: bool = False,
) -> tuple[Context, ...]:
    """Return the contexts for a dataset, the plain one first, no two the same.

    `priority` is a detector score a row, `triggers` what a detector has mined: where
    something is suspect the probes are asked so. With `everywhere` they are asked under
    a safety prompt, as the rows are, and framed in the task that `encoder` recognises,
    too: that says something only of a base model which holds there (benchmark/LOG.md).
    """
    found = [
        PLAIN,
        *trigger_contexts(dataset, triggers),
        suspect_context(dataset, priority),
    ]
    if everywhere:
        found += [SAFETY, training_context(dataset)]
        found += [task_context(dataset, encoder)] if encoder is not None else []
    return _distinct([context for context in found if context is not None])


def without_tools(contexts: Sequence[Context]) -> tuple[Context, ...]:
    """Return the contexts for a base model that can say no tools, no two the same."""
    return _distinct([replace(context, tools="") for context in contexts])


def _distinct(contexts: Sequence[Context]) -> tuple[Context, ...]:
    kept: dict[object, Context] = {}
    for context in contexts:
        around = (context.system, context.frames, context.tools)
        kept.setdefault(around, context)
    return tuple(kept.values())
