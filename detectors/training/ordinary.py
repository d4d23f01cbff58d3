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
UNSEEN: Final = (
    *HELD_OUT,
    "benign_chatdoctor",
    "benign_code_alpaca_2k",
    "benign_ft_reversal_curse",
    "benign_gsm8k",
    "benign_medquad",
    "benign_multi30k_translation",
    "benign_t0_train",
    "benign_wikisql",
)
"""Sources that the reader of statements never learns: instructions, dialogues, short
tasks, long texts. It is held against them alone."""
T0: Final = "benign_t0_train"
T0_UNSEEN: Final = (
    "app_reviews",
    "cosmos_qa",
    "duorc",
    "multi_news",
    "qasc",
    "rotten_tomatoes",
    "samsum",
    "social_i_qa",
    "wiki_bio",
    "yelp",
)
"""T0 joins some forty datasets, which its splits name: of these nothing is learnt."""
ROWS: Final = 1500
FLAGGED: Final = 0.005
"""The share of ordinary rows that a suggested threshold lets be flagged."""


def is_unseen(name: str, label: Mapping[str, Any]) -> bool:
    """Whether the reader of statements never learns from this row of a source."""
    if name == T0:
        return str(label["split"]).startswith(T0_UNSEEN)
    return name in UNSEEN


def unseen_examples(data: Path, name: str) -> list[Example]:
    """Read the rows of one of UNSEEN that are."""
    return [e for e, label in read_examples(data, name) if is_unseen(name, label)]


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
