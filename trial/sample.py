"""Which rows a trial trains on when there are more than the budget allows."""

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowSample:
    """The chosen rows, ascending, and the rule in one sentence for the report."""

    indexes: tuple[int, ...]
    rule: str


def sample_rows(
    total: int,
    budget: int,
    *,
    seed: int,
    priority: Sequence[float] | None = None,
) -> RowSample:
    """Choose at most `budget` of `total` rows.

    Everything where it fits. Else the rows of highest `priority` (higher = more
    suspect; zero and below never count as suspect) fill up to half the budget, and the
    rest is a uniform sample without replacement, both seeded. The first half makes a
    small attack in a large file visible; the second keeps the file's own mixture.
    """
    if priority is not None and len(priority) != total:
        raise ValueError(f"{len(priority)} priorities for {total} rows")
    if total <= budget:
        return RowSample(tuple(range(total)), f"all {total} trainable rows")
    # String seeding: random.Random(str) hashes with sha512, stable between processes.
    order = list(range(total))
    random.Random(f"rows {seed}").shuffle(order)
    first = _most_suspect(order, budget // 2, priority)
    taken = set(first)
    rest = [i for i in order if i not in taken][: budget - len(first)]
    rule = f"{budget} of {total} trainable rows: "
    if first:
        rule += f"the {len(first)} scored highest by the detectors and "
    rule += f"{len(rest)} drawn uniformly (seed {seed})"
    return RowSample(tuple(sorted((*first, *rest))), rule)


def _most_suspect(
    order: Sequence[int], count: int, priority: Sequence[float] | None
) -> list[int]:
    """Up to `count` rows of positive priority; ties fall in the shuffled order."""
    if priority is None:
        return []
    suspects = [i for i in order if priority[i] > 0.0]
    return sorted(suspects, key=lambda i: -priority[i])[:count]
