from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from detectors.chunk import MESSAGE_CHARS, chunks, join_scores, score_in_chunks
from detectors.dataset import Dataset, Example, Message, Origin
from detectors.detector import Evidence, RowDetector, Scores, Trigger
from detectors.part import PART_CHARS

TRIGGER = Trigger("SUDO:", "start", "user", "compliance", 40, 1.0, 0.0, 1e-12)


class LineDetector:
    """Scores a row by its line, and compares by lifting the last to 1."""

    name, version, rows_at_once = "line", "1", 3

    def __init__(self) -> None:
        self.chunks: list[list[int]] = []

    def score(self, dataset: Dataset) -> Scores:
        return score_in_chunks(self, dataset)

    def score_alone(self, examples: Sequence[Example]) -> Scores:
        lines = [example.origin.line for example in examples]
        self.chunks.append(lines)
        return said(*lines)

    def compare(self, dataset: Dataset, alone: Scores) -> Scores:
        assert len(alone) == len(dataset)
        return replace(alone, values=(*alone.values[:-1], 1.0) if alone.values else ())


def said(*lines: int) -> Scores:
    return Scores(
        detector="line",
        version="1",
        values=tuple(None if line == 2 else line / 100 for line in lines),
        evidence=tuple(Evidence("rule", f"line {line}") for line in lines),
        categories=("",) * len(lines),
        unscored=tuple("the second" if line == 2 else "" for line in lines),
    )


def lines(count: int) -> Dataset:
    message = (Message("user", "Hello"),)
    rows = (Example(str(i), message, Origin("x", i)) for i in range(1, count + 1))
    return Dataset("lines", tuple(rows))


def test_rows_are_scored_chunk_by_chunk_and_then_compared() -> None:
    detector = LineDetector()
    assert isinstance(detector, RowDetector)
    scores = detector.score(lines(7))
    assert detector.chunks == [[1, 2, 3], [4, 5, 6], [7]]
    assert scores == replace(said(*range(1, 8)), values=(*said(*range(1, 7)).values, 1))


def sized(*messages: Message) -> Example:
    return Example("sized", messages, Origin("x", 1))


def test_a_chunk_of_long_rows_has_fewer_of_them() -> None:
    third = "a" * (PART_CHARS // 3)
    long = [
        sized(Message("user", third), Message("assistant", "Yes")),
        sized(Message("assistant", "", tool_calls=third)),
        sized(Message("user", "Why?")),
    ]
    rows = Dataset("long", (*long[:2], long[0], *[long[2]] * 4))
    found = list(chunks(rows, 3))
    assert [start for start, _ in found] == [0, 2, 5]
    assert [example for _, part in found for example in part] == list(rows)


def test_a_row_of_very_many_messages_is_long() -> None:
    many = sized(*[Message("user", "")] * (PART_CHARS // MESSAGE_CHARS))
    assert [start for start, _ in chunks(Dataset("many", (many,) * 3), 512)] == [
        0,
        1,
        2,
    ]


def test_no_rows_are_one_empty_chunk() -> None:
    detector = LineDetector()
    assert len(detector.score(lines(0))) == 0
    assert detector.chunks == [[]]


def test_a_chunk_that_is_recalled_is_not_scored() -> None:
    detector = LineDetector()

    def recall(
        detector: RowDetector, start: int, examples: Sequence[Example]
    ) -> Scores:
        return said(1, 2, 3) if start == 0 else detector.score_alone(examples)

    found = score_in_chunks(detector, lines(7), recall)
    assert detector.chunks == [[4, 5, 6], [7]]
    assert found == LineDetector().score(lines(7))


def test_joined_scores_are_those_of_the_rows_in_order() -> None:
    assert join_scores([said(1, 2), said(), said(3)]) == said(1, 2, 3)


@pytest.mark.parametrize(
    "other",
    [{"version": "2"}, {"detector": "word"}, {"triggers": (TRIGGER,)}, {"risk": 0.1}],
)
def test_what_is_not_of_rows_of_one_detector_is_not_joined(
    other: dict[str, Any],
) -> None:
    with pytest.raises(ValueError, match="chunk"):
        join_scores([said(1), replace(said(2), **other)])
