"""Ordinary rows that nothing is fitted on: thresholds are taken from them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from detectors.dataset import Dataset, Example
from detectors.training.sources import read_examples, sample

HELD_OUT: Final = (
    "benign_llamafactory_demos",
    "benign_mobileaibench_tasks",
    "benign_self_instruct_user_oriented",
    "benign_sgd_customer_service",
)
SPLITS: Final = {"benign_sgd_customer_service": "test"}
"""Of these sources one split alone is held out; the adapter learns on the others."""
ROWS: Final = 500
FLAGGED: Final = 0.005
"""The share of ordinary rows that a suggested threshold lets be flagged."""


def ordinary_rows(data: Path) -> Dataset:
    """Up to ROWS whole rows of each source, long and multi-turn ones too."""
    examples = [
        example
        for name in HELD_OUT
        for example, _ in sample(_held_out(data, name), ROWS, name)
    ]
    return Dataset("ordinary", tuple(examples))


def _held_out(data: Path, name: str) -> list[tuple[Example, Mapping[str, Any]]]:
    """Return the held-out rows of a source: all of it, or its split of SPLITS."""
    rows = read_examples(data, name)
    split = SPLITS.get(name)
    return [row for row in rows if split is None or row[1]["split"] == split]
