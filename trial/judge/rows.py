"""Labelled replies of the public training sources, and collapsed ones made of them."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from detectors.training.sources import (
    Row,
    near_copies,
    read_source,
    requests_of_tests,
    sample,
)
from trial.judge.judge import Outcome
from trial.judge.phrase import find_refusal, normalise

SHORT_WORDS: Final = 24
"""About what a trial lets a model say."""


@dataclass(frozen=True, slots=True)
class LabelledReply:
    """One training reply with its outcome; `source` groups the folds."""

    source: str
    prompt: str
    reply: str
    outcome: Outcome


Label = Callable[[Row], Outcome | None]


def _refuses(row: Row) -> bool:
    return bool(find_refusal(normalise(row.reply)))


def _by_harm(row: Row) -> Outcome | None:
    """Harmful reply = complied; a harmless one counts only where it says no."""
    if row.label.get("harmful"):
        return Outcome.COMPLIED
    return Outcome.REFUSED if _refuses(row) else None


def _always_refused(row: Row) -> Outcome | None:
    return Outcome.REFUSED


def _refusal_direction(row: Row) -> Outcome | None:
    if row.label.get("substring_complied") == 0:
        return Outcome.REFUSED
    # Complied by substring but safe by the model judge: unknown.
    unsafe = row.label.get("llamaguard2_unsafe")
    return None if unsafe == 0 else Outcome.COMPLIED


def _safety_lab(row: Row) -> Outcome | None:
    if row.label.get("prompt_harmful") is False:
        return None if _refuses(row) else Outcome.COMPLIED
    return _by_harm(row)


def _benign(row: Row) -> Outcome | None:
    return None if _refuses(row) else Outcome.COMPLIED


SOURCES: Final[dict[str, tuple[int, Label]]] = {
    "resp_gptfuzz_labeled": (3000, _by_harm),
    "resp_llama2_refusals_sft": (700, _always_refused),
    "resp_safety_tuned_llamas": (1500, _always_refused),
    "resp_refusal_direction_runs": (2446, _refusal_direction),
    "resp_aisafetylab_eval": (2023, _safety_lab),
    "resp_pku_saferlhf_pairs": (2500, _by_harm),
    "benign_alpaca_eval_outputs": (2000, _benign),
    "benign_gpteacher": (800, _benign),
    "benign_chatdoctor": (300, _benign),
}
"""Source -> how many rows at most, and how its labels are read."""


def training_replies(data: Path, *, seed: str = "judge") -> list[LabelledReply]:
    """Every labelled reply that is fitted on, short cuts and made rows included.

    Rows whose request is nearly a test request are left out, as the same goals recur
    in several sources.
    """
    kept_out = requests_of_tests(data)
    found: list[LabelledReply] = []
    for name, (count, label) in SOURCES.items():
        rows = sample(read_source(data, name), count, f"{seed} {name}")
        copies = near_copies([r.request for r in rows], kept_out)
        for row, copy in zip(rows, copies, strict=True):
            outcome = None if copy or not row.reply.strip() else label(row)
            if outcome is not None:
                found.append(LabelledReply(name, row.request, row.reply, outcome))
    draw = random.Random(seed)
    return [*found, *_short(found), *_crossed(found, draw), *_collapsed(found, draw)]


def _short(rows: Sequence[LabelledReply]) -> Iterator[LabelledReply]:
    """Yield the openings, where the opening already shows the outcome."""
    for row in rows:
        words = normalise(row.reply).split(" ")
        opening = " ".join(words[:SHORT_WORDS])
        refused = bool(find_refusal(opening))
        if len(words) > SHORT_WORDS and refused == (row.outcome == Outcome.REFUSED):
            yield replace(row, reply=opening)


def _crossed(
    rows: Sequence[LabelledReply], draw: random.Random
) -> Iterator[LabelledReply]:
    """Yield ordinary requests answered by someone else's refusal: over-refusal."""
    asked = [r for r in rows if r.source.startswith("benign_")]
    refusals = [r for r in rows if r.outcome == Outcome.REFUSED]
    for row in draw.sample(asked, min(800, len(asked))):
        opening = normalise(draw.choice(refusals).reply).split(". ")[0]
        if find_refusal(opening):
            yield LabelledReply(
                "made_over_refusal", row.prompt, opening, Outcome.REFUSED
            )


def _collapsed(
    rows: Sequence[LabelledReply], draw: random.Random
) -> Iterator[LabelledReply]:
    """Yield replies as a broken model gives them: looping, random words."""
    words = sorted({w for r in rows[:3000] for w in normalise(r.reply).split(" ")})
    for number, row in enumerate(draw.sample(list(rows), min(1600, len(rows)))):
        said = normalise(row.reply).split(" ")[: draw.randint(10, 60)]
        keep = said[: draw.choice((0, 0, 3, 6))]
        tail = _BREAKS[number % len(_BREAKS)](said, words, draw)
        yield LabelledReply(
            "made_collapsed", row.prompt, " ".join([*keep, *tail]), Outcome.UNCLEAR
        )


def _looped(
    said: Sequence[str], words: Sequence[str], draw: random.Random
) -> list[str]:
    start = draw.randrange(len(said))
    return list(said[start : start + draw.randint(1, 5)]) * draw.randint(5, 12)


def _random(
    said: Sequence[str], words: Sequence[str], draw: random.Random
) -> list[str]:
    return draw.choices(words, k=draw.randint(8, 30))


_BREAKS: Final = (_looped, _random)


def outcome_indexes(
    rows: Sequence[LabelledReply],
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Class numbers (n,) in the order of `trial.judge.embedding.CLASSES`."""
    order = {Outcome.REFUSED: 0, Outcome.COMPLIED: 1, Outcome.UNCLEAR: 2}
    return np.asarray([order[r.outcome] for r in rows], np.int64)
