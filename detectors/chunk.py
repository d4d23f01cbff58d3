"""Chunks: rows that a detector scores at once, and what it said of them joined."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final

from detectors.dataset import Dataset, Example
from detectors.detector import RowDetector, Scores
from detectors.part import parts

MESSAGE_CHARS: Final = 200
"""What a message counts as at least: a window is embedded for the shortest, too."""

ScoreChunk = Callable[[RowDetector, int, Sequence[Example]], Scores]
"""Gives a detector's scores of a chunk, alone; the number is the index of its first."""


def score_now(detector: RowDetector, start: int, examples: Sequence[Example]) -> Scores:
    """Let a detector score a chunk that nothing is known of."""
    return detector.score_alone(examples)


def chunks(
    dataset: Dataset, rows_at_once: int
) -> Iterator[tuple[int, Sequence[Example]]]:
    """Yield each chunk with the index of its first row; no rows are no chunks.

    A chunk ends at `rows_at_once` rows or PART_CHARS characters. Where it ends depends
    on the rows alone.
    """
    lengths = (_row_chars(example) for example in dataset)
    for part in parts(lengths, rows_at_once):
        yield part.start, dataset[part]


def _row_chars(example: Example) -> int:
    return len(example.tools) + sum(
        max(MESSAGE_CHARS, len(message.content) + len(message.tool_calls))
        for message in (*example.messages, *example.rejected)
    )


def score_in_chunks(
    detector: RowDetector, dataset: Dataset, score_chunk: ScoreChunk = score_now
) -> Scores:
    """Score a dataset chunk by chunk, in order, then compare its rows.

    `score_chunk` may recall what was said before. The chunks depend on the rows and on
    the detector's `rows_at_once` alone, so they are the same when the work is begun
    again. No rows are one empty chunk.
    """
    said = [
        score_chunk(detector, start, examples)
        for start, examples in [*chunks(dataset, detector.rows_at_once)] or [(0, ())]
    ]
    return detector.compare(dataset, join_scores(said))


def join_scores(said: Sequence[Scores]) -> Scores:
    """Join what one detector said of chunks, one or more, in their order.

    ValueError where two detectors or versions speak, or one speaks of more than rows.
    """
    first = said[0]
    for each in said:
        if (each.detector, each.version) != (first.detector, first.version):
            raise ValueError(f"{first.detector}: chunks scored by different versions")
        if each.triggers or each.risk is not None:
            raise ValueError(f"{first.detector}: a chunk has no triggers and no risk")
    return Scores(
        detector=first.detector,
        version=first.version,
        values=tuple(chain.from_iterable(each.values for each in said)),
        evidence=tuple(chain.from_iterable(each.evidence for each in said)),
        categories=tuple(chain.from_iterable(each.categories for each in said)),
        unscored=tuple(chain.from_iterable(each.unscored for each in said)),
    )
