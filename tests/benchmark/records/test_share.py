"""The share of a measurement that one of several processes takes."""

from argparse import ArgumentTypeError

import pytest

from benchmark.records.share import pairs_of, part_of


def test_a_share_is_one_of_so_many() -> None:
    assert part_of("2/3") == (2, 3)


@pytest.mark.parametrize("text", ["0/2", "3/2", "-1/2", "1", "1/2/3", "a/b", ""])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="no share"):
        part_of(text)


def test_shares_of_two_kinds_that_take_turns_have_both_and_miss_nothing() -> None:
    plans = ["attack 1", "calm 1", "attack 2", "calm 2", "attack 3", "calm 3", "rest"]
    first, second = (pairs_of(plans, part, 2) for part in (1, 2))
    assert first == ["attack 1", "calm 1", "attack 3", "calm 3"]
    assert second == ["attack 2", "calm 2", "rest"]
    assert pairs_of(plans, 1, 1) == plans
