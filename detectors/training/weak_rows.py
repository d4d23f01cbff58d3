"""Rows whose labels follow from how they were made, not from a judge's word.

For the cross-encoder: answers under a system prompt that does away with caution against
answers under one that asks for it, medical questions, dialogues with a service.
"""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from detectors.harm.pair import joined_turns
from detectors.refusal import refuses
from detectors.training.ordinary import SPLITS
from detectors.training.rows import HarmRow
from detectors.training.sources import (
    distinct,
    read_examples,
    read_source,
    sample,
)

STEERED: Final = "resp_configurable_safety_tuning"
MEDICAL: Final = "resp_medical_safety"
UNCENSORED: Final = "uncensored"
DIALOGUES: Final = "benign_sgd_customer_service"
DIALOGUE_ROWS: Final = 2500
MEDICAL_ROWS: Final = 1000


def weak_rows(data: Path, seed: str = "weak") -> Iterator[HarmRow]:
    """Rows of STEERED and MEDICAL."""
    yield from _steered(data)
    medical = [r for r in distinct(read_source(data, MEDICAL)) if r.reply]
    for row in sample(medical, MEDICAL_ROWS, seed):
        yield HarmRow(MEDICAL, row.request, row.reply, False, "benign", False)


def _steered(data: Path) -> Iterator[HarmRow]:
    """Preferred answers of the uncensored comply, of the careful refuse."""
    for row in distinct(read_source(data, STEERED)):
        if row.label.get("task") != "harmless" or not row.reply:
            continue
        preferred = row.label.get("preference") == "chosen"
        complies = preferred == (UNCENSORED in row.system)
        if complies == refuses(row.reply):
            continue
        kind = "comply" if complies else "refuse"
        yield HarmRow(STEERED, row.request, row.reply, complies, kind, True)


def dialogues(data: Path, seed: str = "dialogues") -> Iterator[HarmRow]:
    """One exchange of each dialogue with a service: read alone, or after the others.

    Short answers in the middle of a task look like nothing else that is learnt.
    """
    rows = [e for e, label in read_examples(data, DIALOGUES) if _is_train(label)]
    draw = random.Random(f"{seed}/dialogues")
    for example in sample(rows, DIALOGUE_ROWS, seed):
        exchanges = example.exchanges()
        if not exchanges:
            continue
        at = draw.randrange(len(exchanges))
        before = [e.request for e in exchanges[:at]] if draw.random() < 0.5 else []
        request = joined_turns([*before, exchanges[at].request])
        reply = exchanges[at].reply
        yield HarmRow(DIALOGUES, request, reply, False, "benign", False)


def _is_train(label: Mapping[str, Any]) -> bool:
    return bool(label["split"] != SPLITS[DIALOGUES])
