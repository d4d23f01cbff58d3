"""Shuffled batches of rows of similar length, for training."""

import random
from collections.abc import Sequence


def shuffled_batches(
    lengths: Sequence[int], rng: random.Random, *, tokens: int, among: int, rows: int
) -> list[list[int]]:
    """Every index once, in batches of at most `tokens` padded tokens and `rows` rows.

    Drawn `among` so many shuffled rows are sorted by length and cut into batches; a
    row longer than `tokens` is a batch of its own.
    """
    order = list(range(len(lengths)))
    rng.shuffle(order)
    batches: list[list[int]] = []
    for at in range(0, len(order), among):
        batch: list[int] = []
        for i in sorted(order[at : at + among], key=lambda i: lengths[i]):
            padded = (len(batch) + 1) * lengths[i]
            if batch and (padded > tokens or len(batch) == rows):
                batches.append(batch)
                batch = []
            batch.append(i)
        batches.append(batch)
    rng.shuffle(batches)
    return batches
