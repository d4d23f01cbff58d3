import pytest

from detectors.part import PART_CHARS, parts


@pytest.mark.parametrize(
    ("lengths", "ends"),
    [
        ([], []),
        ([1, 1, 1, 1, 1, 1, 1], [3, 6, 7]),
        ([5, 5, 1], [2, 3]),
        ([50, 1, 9, 50], [1, 3, 4]),
        ([0, 0, 0, 0], [3, 4]),
    ],
)
def test_a_part_ends_at_three_items_or_ten_characters(
    lengths: list[int], ends: list[int]
) -> None:
    found = list(parts(lengths, 3, 10))
    assert [part.stop for part in found] == ends
    assert [part.start for part in found] == [0, *ends[:-1]][: len(ends)]


def test_two_rows_as_long_as_may_be_are_a_part_and_three_are_not() -> None:
    assert PART_CHARS == 2_000_000
    assert len(list(parts([1_000_000] * 3, 512))) == 2
