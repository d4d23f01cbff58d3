"""Training rows as token ids, and padded batches of them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from detectors.training.batching import shuffled_batches

BATCH_TOKENS: Final = 4096
BATCH_ROWS: Final = 96
BUCKET_ROWS: Final = 2560


@dataclass(frozen=True, slots=True)
class Encoded:
    """One training row as token ids.

    `ids` is prompt and reply, the reply from index `start`. `refuse` in 0..1 is the
    target of the refusal decision (the first reply token); above a half the reply is a
    refusal. Only the reply is learnt: a model that also learns to write prompts loses
    what MiniLM knows of them. Rows without a reply end at `start`. `meaning` is the
    row of the table of meanings that its prompt has.
    """

    ids: tuple[int, ...]
    start: int
    refuse: float
    meaning: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right.

    `ids` (b, t); `labels` (b, t), -100 where no learnt token comes next; `start` (b,)
    where the reply begins; `refuse` (b,) the target of the decision; `meaning` (b,)
    rows of the table of meanings.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    start: torch.Tensor
    refuse: torch.Tensor
    meaning: torch.Tensor


def batches_of(rows: Sequence[Encoded], rng: random.Random) -> list[list[int]]:
    """Shuffled batches of rows of similar length, of BATCH_TOKENS padded tokens."""
    lengths = [len(row.ids) for row in rows]
    return shuffled_batches(
        lengths, rng, tokens=BATCH_TOKENS, among=BUCKET_ROWS, rows=BATCH_ROWS
    )


def collate(rows: Sequence[Encoded], pad: int) -> Batch:
    """Pad rows on the right and mark what is learnt of each."""
    width = max(len(r.ids) for r in rows)
    ids = torch.full((len(rows), width), pad)
    labels = torch.full((len(rows), width), -100)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        # How to open a refusal is the decision's part of the loss alone.
        first = row.start + (row.refuse > 0.5)
        labels[i, first - 1 : len(row.ids) - 1] = torch.tensor(row.ids[first:])
    return Batch(
        ids,
        labels,
        torch.tensor([r.start for r in rows]),
        torch.tensor([r.refuse for r in rows]),
        torch.tensor([r.meaning for r in rows]),
    )
