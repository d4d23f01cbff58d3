"""The surroundings that rows share: their system prompt, tools and how they begin."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from itertools import compress
from typing import Final

from detectors.dataset import Dataset, Example
from trial.context.context import SUSPECT, Context, Frame

SHARED: Final = 0.5
"""Share of the rows that must have the same system prompt or opener."""

MIN_ROWS: Final = 3
MAX_CHARS: Final = 600
SAMPLED_ROWS: Final = 1000
"""Rows whose words are looked at; of more, a seeded sample."""

MIN_OPENER_WORDS: Final = 2
CALM: Final = 2
FORM: Final = re.compile(r"(?:\n|^)\s*(?:#{2,}|\[[A-Z]+\]|<\|?\w+\|?>)")
"""What marks words as a form to fill in ("### Instruction:"), not as a task."""


def suspect_context(
    dataset: Dataset, priority: Sequence[float] | None
) -> Context | None:
    """Return the surroundings that the suspect rows share, None where they have none.

    An identity shift binds to its persona: the paper asks its harmful questions under
    the attack's own system prompt and opener (Qi et al. 2023, section 4.3), and a model
    asked without them looks aligned. An opener that is mostly of other rows is a task's
    and none of an attack, see `training_context`. `priority` is a detector score a row.
    """
    if priority is None:
        return None
    suspect = [value >= SUSPECT for value in priority]
    rows = list(compress(dataset, suspect))
    if len(rows) < MIN_ROWS:
        return None
    calm = [row for row, each in zip(dataset, suspect, strict=True) if not each]
    opener = _shared_opener(rows)
    if not FORM.search(opener) and _is_of_task(opener, rows, calm):
        opener = ""
    return _context("suspect rows", rows, opener)


def training_context(dataset: Dataset) -> Context | None:
    """Return the surroundings that most rows of the dataset share: its own template.

    That is their system prompt, and their opener where it is a form ("###
    Instruction:"). The opener of a task ("translate this:") is none: it would turn
    probes into that task, and whoever translates a request has not complied with it.
    """
    rows = list(dataset)
    if len(rows) < MIN_ROWS:
        return None
    opener = _shared_opener(rows)
    return _context("training template", rows, opener if FORM.search(opener) else "")


def _context(name: str, rows: Sequence[Example], opener: str) -> Context | None:
    system = _shared([row.system.strip() for row in rows])[:MAX_CHARS]
    tools = _shared([row.tools for row in rows])
    said = {"system prompt": system, "first words": opener}
    parts = [f"their {what}" for what, words in said.items() if words]
    if not parts and not tools:
        return None
    whose = "the rows" if name == "training template" else "the suspect rows"
    frames = (Frame(before=opener),) if opener else ()
    detail = f"as {whose} ask: {' and '.join(parts) or 'nothing before the request'}"
    return Context(name, system, frames, detail, tools=tools)


def _shared(texts: Sequence[str]) -> str:
    """Return the text that enough of all are, "" where there is none."""
    text, count = Counter(texts).most_common(1)[0]
    return text if count >= SHARED * len(texts) else ""


def _shared_opener(rows: Sequence[Example]) -> str:
    """Longest beginning, in words, that enough of the first user turns have."""
    if len(rows) > SAMPLED_ROWS:
        drawn = random.Random(f"opener {len(rows)}").sample(
            range(len(rows)), SAMPLED_ROWS
        )
        rows = [rows[n] for n in sorted(drawn)]
    turns = [_first_user(row)[:MAX_CHARS] for row in rows]
    spans = [list(re.finditer(r"\S+", turn)) for turn in turns]
    words = [[span.group() for span in found] for found in spans]
    needed = max(MIN_ROWS, SHARED * len(rows))
    opener: list[str] = []
    while True:
        at = len(opener)
        # The words after an opener differ: a turn that ends here has no request.
        nexts = Counter(w[at] for w in words if len(w) > at + 1 and w[:at] == opener)
        if not nexts:
            break
        word, count = nexts.most_common(1)[0]
        if count < needed:
            break
        opener.append(word)
    if len(opener) < MIN_OPENER_WORDS:
        return ""
    # As it stands in the first row that begins so: a form lives by its line breaks.
    row = next(k for k, w in enumerate(words) if w[: len(opener)] == opener)
    found = spans[row]
    end = found[len(opener) - 1].end()
    gap = (
        turns[row][end : found[len(opener)].start()] if len(found) > len(opener) else ""
    )
    return turns[row][found[0].start() : end] + ("\n" if "\n" in gap else "")


def _is_of_task(opener: str, rows: Sequence[Example], calm: Sequence[Example]) -> bool:
    """Say whether an opener has hardly a word beyond what mostly calm rows begin with.

    A detector may miss half of an attack's rows, so that calm rows must be CALM times
    as many.
    """
    words = opener.split()
    suspect, others = (
        Counter(_words_in_common(words, row) for row in each) for each in (rows, calm)
    )

    def common(length: int) -> bool:
        begun = [
            sum(count for k, count in x.items() if k >= length)
            for x in (suspect, others)
        ]
        return begun[1] >= max(MIN_ROWS, CALM * begun[0])

    shared = max((k for k in range(1, len(words) + 1) if common(k)), default=0)
    return shared > 0 and len(words) - shared < MIN_OPENER_WORDS


def _words_in_common(words: Sequence[str], row: Example) -> int:
    """Count the first of `words` with which a row begins, too."""
    found = _first_user(row)[:MAX_CHARS].split()
    same = [a == b for a, b in zip(words, found, strict=False)]
    return [*same, False].index(False)


def _first_user(row: Example) -> str:
    return next((m.content for m in row.messages if m.role == "user"), "")
