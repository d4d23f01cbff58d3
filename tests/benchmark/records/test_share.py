"""The share of a measurement that one of several processes takes."""

from argparse import ArgumentTypeError

import pytest

from benchmark.records.share import part_of


def test_a_share_is_one_of_so_many() -> None:
    assert part_of("2/3") == (2, 3)


@pytest.mark.parametrize("text", ["0/2", "3/2", "-1/2", "1", "1/2/3", "a/b", ""])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="no share"):
        part_of(text)
