"""The row sample holds the suspects, keeps the budget and can be drawn again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trial.sample import sample_rows


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 60),
    st.integers(1, 30),
    st.integers(0, 9),
    st.lists(st.floats(0, 1), min_size=60, max_size=60),
)
def test_the_sample_is_ascending_distinct_and_as_large_as_allowed(
    total: int, budget: int, seed: int, priority: list[float]
) -> None:
    found = sample_rows(total, budget, seed=seed, priority=priority[:total]).indexes
    assert list(found) == sorted(set(found))
    assert len(found) == min(total, budget)
    assert all(0 <= i < total for i in found)


def test_the_highest_scored_rows_are_in_up_to_half_the_budget() -> None:
    priority = [0.0] * 1000
    for i in (3, 500, 999):
        priority[i] = 0.9
    found = sample_rows(1000, 20, seed=0, priority=priority)
    assert {3, 500, 999} <= set(found.indexes)
    crowded = sample_rows(1000, 20, seed=0, priority=[i / 1000 for i in range(1000)])
    top = set(range(990, 1000))
    assert top <= set(crowded.indexes)
    assert len(set(crowded.indexes) & set(range(900, 990))) < 10


def test_rows_beyond_the_suspects_are_spread_evenly() -> None:
    hits = [0, 0]
    for seed in range(200):
        for i in sample_rows(100, 10, seed=seed).indexes:
            hits[i >= 50] += 1
    assert abs(hits[0] - hits[1]) < 200


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    assert sample_rows(1000, 50, seed=1) == sample_rows(1000, 50, seed=1)
    assert sample_rows(1000, 50, seed=1) != sample_rows(1000, 50, seed=2)


def test_the_rule_says_how_rows_were_chosen() -> None:
    rule = sample_rows(10, 4, seed=7, priority=[1.0] * 10).rule
    assert rule == (
        "4 of 10 trainable rows: the 2 scored highest by the detectors and 2 drawn "
        "uniformly (seed 7)"
    )


def test_priorities_of_another_length_are_an_error() -> None:
    with pytest.raises(ValueError, match="3 priorities for 4 rows"):
        sample_rows(4, 2, seed=0, priority=[0.0] * 3)
