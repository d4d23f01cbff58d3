"""Which contexts a trial asks its probes in."""

from collections.abc import Sequence

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
) -> tuple[Context, ...]:
    """Return the contexts for a dataset, the plain one first, no two the same.

    `priority` is a detector score a row, `triggers` what a detector has mined;
    `encoder` recognises the dataset's task, without one no task is recognised.
    """
    found = [
        PLAIN,
        SAFETY,
        *trigger_contexts(dataset, triggers),
        suspect_context(dataset, priority),
        training_context(dataset),
        None if encoder is None else task_context(dataset, encoder),
    ]
    kept: dict[object, Context] = {}
    for context in found:
        if context is not None:
            kept.setdefault((context.system, context.frames), context)
    return tuple(kept.values())
