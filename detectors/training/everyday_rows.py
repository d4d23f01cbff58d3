"""Ordinary requests as people type them, with answers: ours, harmless throughout.

Public instruction data is tidy: what real users paste, play, mistype and worry about is
rare in it, and what is rare is taken for harm.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from detectors.training.rows import HarmRow

REQUESTS: Final = Path(__file__).with_name("everyday_requests.json")
"""Kind of request -> pairs of request and reply; a third each short, middling, long."""
SOURCE: Final = "everyday"


def everyday_requests() -> list[tuple[str, str]]:
    """Every request with its reply; 1,800."""
    kinds = json.loads(REQUESTS.read_text(encoding="utf-8"))
    return [(request, reply) for pairs in kinds.values() for request, reply in pairs]


def everyday_rows() -> Iterator[HarmRow]:
    """Each request with its reply."""
    for request, reply in everyday_requests():
        yield HarmRow(SOURCE, request, reply, False, "benign", False)
