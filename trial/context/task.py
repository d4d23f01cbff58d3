"""The task that a dataset teaches, and harmful requests framed in that task.

Benign tunes lose most refusals where the harmful request sounds like their own task
("to debug this", "the customer asked"); the fixed probes do not show it.
"""

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from detectors.dataset import Dataset, Exchange
from detectors.embedding import Encoder, Vectors
from detectors.errors import TrialError
from trial.context.context import Context, Frame

FILE: Final = Path(__file__).parent / "tasks.json"
OTHER: Final = "other"
"""Examples that belong to none of the tasks: they take the rows that do neither."""

SAMPLED_ROWS: Final = 100
REQUEST_CHARS: Final = 400
MOSTLY: Final = 0.5
"""Share of the rows that must be of one task."""

CLOSE: Final = 0.2
"""Cosine under which a request is like no example: then it has no task."""


@dataclass(frozen=True)
class Task:
    """One kind of job: requests that are typical of it, and frames in its words."""

    name: str
    examples: tuple[str, ...]
    frames: tuple[Frame, ...]


@lru_cache(maxsize=1)
def load_tasks() -> tuple[Task, ...]:
    """Load the tasks. Raises TrialError where the file is missing or malformed."""
    try:
        read = json.loads(FILE.read_text("utf-8"))
        return tuple(
            Task(
                name,
                tuple(task["examples"]),
                tuple(Frame(before, after) for before, after in task["frames"]),
            )
            for name, task in read.items()
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TrialError(f"task file {FILE.name} cannot be read: {error}") from error


def task_context(dataset: Dataset, encoder: Encoder) -> Context | None:
    """Frame the probes in the task that most rows are of, None where there is none."""
    task = recognise_task(dataset, encoder)
    if task is None:
        return None
    said = f"the probes framed in the task of most rows, {task.name.replace('_', ' ')}"
    return Context(f"task: {task.name.replace('_', ' ')}", "", task.frames, said)


def recognise_task(dataset: Dataset, encoder: Encoder) -> Task | None:
    """Return the task whose examples are nearest to most of the rows' requests.

    Looks at a fixed sample of SAMPLED_ROWS rows, at the first request of each.
    """
    requests = [r for row in dataset if (r := _request(row.exchanges()))]
    if len(requests) > SAMPLED_ROWS:
        requests = random.Random(dataset.fingerprint).sample(requests, SAMPLED_ROWS)
    if not requests:
        return None
    tasks = load_tasks()
    nearest = _nearest(encoder.encode(requests), tasks, encoder)
    number, count = Counter(nearest).most_common(1)[0]
    if number < 0 or count < MOSTLY * len(requests):
        return None
    return tasks[number] if tasks[number].name != OTHER else None


def _nearest(requests: Vectors, tasks: Sequence[Task], encoder: Encoder) -> list[int]:
    """Return the number of the task nearest to each request (n, d), -1: none."""
    texts = [text for task in tasks for text in task.examples]
    owner = np.repeat(np.arange(len(tasks)), [len(task.examples) for task in tasks])
    cosine = requests @ encoder.encode(texts).T
    return [
        int(owner[best]) if row[best] >= CLOSE else -1
        for row, best in zip(cosine, cosine.argmax(axis=1), strict=True)
    ]


def _request(exchanges: Sequence[Exchange]) -> str:
    return exchanges[0].request[:REQUEST_CHARS].strip() if exchanges else ""
