"""Rows of sources without labels of their own, by what `labels` says of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from detectors.dataset import Example
from detectors.refusal import refuses
from detectors.training.labels import digest_of, exchange_labels, request_labels
from detectors.training.rows import HarmRow
from detectors.training.sources import (
    CLIP_CHARS,
    Row,
    distinct,
    read_examples,
    read_source,
)

ASKED: Final = "prompt_wildguard_nonadv_unlabelled"
RED_TEAM: Final = "resp_hh_rlhf_harmless_test"
SHORT_REPLY: Final = 20
HARMFUL: Final = "h"
SAFE: Final = "s"


def labelled_requests(data: Path) -> list[tuple[Row, str]]:
    """List the requests of ASKED that have a label, with it."""
    labels = request_labels()
    rows = distinct(read_source(data, ASKED))
    found = [(row, labels.get(digest_of(row.request), "")) for row in rows]
    return [(row, label) for row, label in found if label]


def red_team_rows(data: Path) -> Iterator[HarmRow]:
    """Last exchanges of red-teamers' dialogues; `asks_harm` None where unclear.

    Which reply of two was preferred says little here: both may be harmful.
    """
    labels = exchange_labels()
    seen: set[str] = set()
    for example, _ in read_examples(data, RED_TEAM):
        exchange = _last_exchange(example)
        key = digest_of(*exchange) if exchange else ""
        label = labels.get(key, "")
        if exchange is None or label[1:] not in (HARMFUL, SAFE) or key in seen:
            continue
        seen.add(key)
        asks = {HARMFUL: True, SAFE: False}.get(label[0])
        yield _row(*exchange, asks=asks, harmful=label[1] == HARMFUL)


def _row(request: str, reply: str, *, asks: bool | None, harmful: bool) -> HarmRow:
    kind = "comply" if harmful else "refuse" if asks or refuses(reply) else "benign"
    return HarmRow(RED_TEAM, request, reply, harmful, kind, asks)


def _last_exchange(example: Example) -> tuple[str, str] | None:
    """Last reply with all that the user said before it, the latest words kept."""
    if example.messages[-1].role != "assistant":
        return None
    reply = example.messages[-1].content
    asked = [m.content for m in example.messages if m.role == "user"]
    if len(reply) < SHORT_REPLY or not asked:
        return None
    return "\n".join(asked)[-CLIP_CHARS:], reply
