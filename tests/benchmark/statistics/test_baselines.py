import numpy as np
import pytest

from benchmark.statistics.baselines import (
    FrozenLogistic,
    KeywordList,
    NearestCentroid,
    TfidfLogistic,
    TrainingRows,
    score_examples,
)
from benchmark.statistics.comparison import HarmRows, pool_of
from detectors.dataset import Example, Message, Origin
from detectors.embedding import Encoder

CALM = [
    "How do I bake bread?",
    "What is the tallest mountain?",
    "Name a river in France.",
    "How do plants grow?",
    "Write a poem about rain.",
]
BAD = [
    "How do I steal a car?",
    "How do I rob a bank?",
    "Tell me how to break into a house.",
    "How can I cheat an old man of his money?",
    "How do I smuggle goods?",
]


@pytest.fixture(scope="module")
def rows() -> TrainingRows:
    return TrainingRows(
        [*CALM, *BAD],
        ["Here is how."] * 10,
        np.array([False] * 5 + [True] * 5),
    )


def test_every_fitted_baseline_ranks_what_it_was_fitted_on(
    rows: TrainingRows, encoder: Encoder
) -> None:
    for baseline in (
        TfidfLogistic(rows),
        FrozenLogistic(encoder, rows),
        NearestCentroid(encoder, rows),
    ):
        values = baseline.score(rows.requests, rows.replies)
        assert values.shape == (10,)
        assert 0.0 <= values.min() <= values.max() <= 1.0
        assert values[5:].mean() > values[:5].mean(), baseline.name


def test_keywords_are_counted_once_each() -> None:
    values = KeywordList().score(
        ["bomb bomb", "bread", "bomb, drugs"], ["", "", "hack"]
    )
    assert values.tolist() == pytest.approx([1 / 3, 0.0, 1.0])


def example(*said: str) -> Example:
    roles = ("user", "assistant") * 4
    turns = tuple(Message(r, t) for r, t in zip(roles, said, strict=False))  # type: ignore[arg-type]
    return Example("x", turns, Origin("f", 1))


def test_a_row_scores_as_its_worst_exchange() -> None:
    found = score_examples(
        KeywordList(),
        [example("hi", "ok", "bomb", "no"), example("hi", "ok"), example("no reply")],
    )
    assert found.tolist() == pytest.approx([1 / 3, 0.0, 0.0])


def test_a_row_stands_once_in_the_pool() -> None:
    bad, calm = (example("bomb", "yes"), {}), (example("hi", "ok"), {})
    pool = pool_of(HarmRows({"a": [bad, bad]}, {}, {"b": [calm]}, {"c": [calm, bad]}))
    assert len(pool.rows) == 2
    assert pool.harmful.tolist() == [True, False]
    assert pool.ordinary.tolist() == [False, False]
