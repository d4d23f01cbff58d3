"""Parts: items worked on at once, bounded in their number and in their characters."""

from collections.abc import Iterable, Iterator
from typing import Final

PART_CHARS: Final = 2_000_000
"""Characters of a part: their tokens take some 800 MB while they are made."""


def parts(
    lengths: Iterable[int], most: int, chars: int = PART_CHARS
) -> Iterator[slice]:
    """Yield the slices of items of these lengths that are one part each, in order.

    A part has at most `most` items, which together have at most `chars` characters; a
    longer item is a part of its own. No items are no parts.
    """
    start = end = held = 0
    for length in lengths:
        if end > start and (end - start >= most or held + length > chars):
            yield slice(start, end)
            start, held = end, 0
        end += 1
        held += length
    if end > start:
        yield slice(start, end)
