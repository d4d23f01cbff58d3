"""Ordinary rows that nothing is fitted on: thresholds are taken from them."""

from pathlib import Path
from typing import Final

from detectors.dataset import Dataset
from detectors.training.sources import read_examples, sample

HELD_OUT: Final = (
    "benign_llamafactory_demos",
    "benign_mobileaibench_tasks",
    "benign_self_instruct_user_oriented",
    "benign_sgd_customer_service",
)
ROWS: Final = 500
FLAGGED: Final = 0.005
"""The share of ordinary rows that a suggested threshold lets be flagged."""


def ordinary_rows(data: Path) -> Dataset:
    """Up to ROWS whole rows of each source, long and multi-turn ones too."""
    examples = [
        example
        for name in HELD_OUT
        for example, _ in sample(read_examples(data, name), ROWS, name)
    ]
    return Dataset("ordinary", tuple(examples))
