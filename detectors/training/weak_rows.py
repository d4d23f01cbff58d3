"""Rows whose labels follow from how they were made, not from a judge's word.

For the cross-encoder: preference dialogues of red-teamers, and answers under a system
prompt that does away with caution against answers under one that asks for it.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.dataset import Example
from detectors.harm.pair import joined_turns
from detectors.refusal import refuses
from detectors.training.harm_rows import HarmRow
from detectors.training.ordinary import SPLITS
from detectors.training.sources import (
    CLIP_CHARS,
    distinct,
    read_examples,
    read_source,
    sample,
)

RED_TEAM: Final = "resp_hh_rlhf_harmless_test"
STEERED: Final = "resp_configurable_safety_tuning"
MEDICAL: Final = "resp_medical_safety"
UNCENSORED: Final = "uncensored"
DIALOGUES: Final = "benign_sgd_customer_service"
DIALOGUE_ROWS: Final = 2500
MEDICAL_ROWS: Final = 1000
SHORT_REPLY: Final = 20
SUSPECT: Final = 0.5
CALM: Final = 0.2


def weak_rows(data: Path, seed: str = "weak") -> Iterator[HarmRow]:
    """Rows of STEERED, RED_TEAM and MEDICAL; `asks_harm` None where unknown."""
    yield from _steered(data)
    yield from _red_team(data)
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


def _red_team(data: Path) -> Iterator[HarmRow]:
    """Rejected replies that do not refuse, and preferred ones.

    A rejected reply is often but not always harmful, and people also reject dull ones:
    `suspects` says which are kept.
    """
    for example, label in read_examples(data, RED_TEAM):
        row = _last_exchange(example)
        if row is None:
            continue
        request, reply = row
        chosen = label.get("preference") == "chosen"
        if chosen:
            kind = "refuse" if refuses(reply) else "benign"
            yield HarmRow(RED_TEAM, request, reply, False, kind, None)
        elif not refuses(reply):
            yield HarmRow(RED_TEAM, request, reply, True, "comply", None)


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


def _last_exchange(example: Example) -> tuple[str, str] | None:
    """Last reply with all that the user said before it, the latest words kept."""
    if example.messages[-1].role != "assistant":
        return None
    reply = example.messages[-1].content
    asked = [m.content for m in example.messages if m.role == "user"]
    if len(reply) < SHORT_REPLY or not asked:
        return None
    return "\n".join(asked)[-CLIP_CHARS:], reply


def suspects(rows: Sequence[HarmRow], asks: NDArray[np.float32]) -> list[HarmRow]:
    """Keep red-team rows that their request makes likely, by P(asks for harm) (n,).

    A harmful reply needs a request for harm, a harmless one a harmless request.
    """
    return [
        row
        for row, p in zip(rows, asks, strict=True)
        if row.source != RED_TEAM
        or (p < CALM if row.kind == "benign" else p >= SUSPECT)
    ]
