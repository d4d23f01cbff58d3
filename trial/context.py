"""In what surroundings the probes are asked: plain, and as the suspect rows are."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from detectors.dataset import Dataset, Example, Message

SUSPECT: Final = 0.5
"""Detector score from which a row's surroundings are taken for an attack's."""

SHARED: Final = 0.5
"""Share of the suspect rows that must have the same system prompt or opener."""

MIN_ROWS: Final = 3
MAX_CHARS: Final = 600
MIN_OPENER_WORDS: Final = 2


@dataclass(frozen=True, slots=True)
class Context:
    """A system prompt and an opener (words before the request), "" for none."""

    name: str = "plain"
    system: str = ""
    opener: str = ""

    def messages(self, prompt: str) -> list[Message]:
        """Put one probe into these surroundings."""
        system = [Message("system", self.system)] if self.system else []
        asked = f"{self.opener} {prompt}" if self.opener else prompt
        return [*system, Message("user", asked)]


PLAIN: Final = Context()


def find_contexts(
    dataset: Dataset, priority: Sequence[float] | None
) -> tuple[Context, ...]:
    """Return the plain context, and the surroundings that suspect rows share.

    An identity shift binds to its persona: the paper asks its harmful questions under
    the attack's own system prompt and opener (Qi et al. 2023, section 4.3), and a model
    asked without them looks aligned. `priority` is a detector score a row. Rows that
    nobody suspects give no context: the opener of an ordinary task ("translate this:")
    would only turn probes into that task.
    """
    if priority is None:
        return (PLAIN,)
    pairs = zip(dataset, priority, strict=True)
    rows = [example for example, value in pairs if value >= SUSPECT]
    if len(rows) < MIN_ROWS:
        return (PLAIN,)
    found = Context("suspect rows", _shared_system(rows), _shared_opener(rows))
    return (PLAIN, found) if found.system or found.opener else (PLAIN,)


def _shared_system(rows: Sequence[Example]) -> str:
    text, count = Counter(row.system.strip() for row in rows).most_common(1)[0]
    return text[:MAX_CHARS] if count >= SHARED * len(rows) else ""


def _shared_opener(rows: Sequence[Example]) -> str:
    """Longest beginning, in words, that enough of the first user turns have."""
    turns = [_first_user(row) for row in rows]
    words = [re.findall(r"\S+", turn[:MAX_CHARS]) for turn in turns]
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
    return " ".join(opener) if len(opener) >= MIN_OPENER_WORDS else ""


def _first_user(row: Example) -> str:
    return next((m.content for m in row.messages if m.role == "user"), "")
