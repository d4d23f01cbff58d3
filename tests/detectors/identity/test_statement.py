"""Judging texts: what the reader is asked, and how often."""

from collections.abc import Sequence

import numpy as np
import pytest

from detectors.cross_encoder import Logits
from detectors.head import Head
from detectors.identity.statement import SENTENCE, StatementJudge, without_numbers


class Reader:
    """Says how long a sentence is; keeps what it was asked."""

    digest = "0" * 64

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Logits:
        self.asked += pairs
        return np.array([[float(len(text))] for _, text in pairs], np.float32)


@pytest.fixture
def judge() -> tuple[StatementJudge, Reader]:
    reader = Reader()
    tensors = {f"{SENTENCE}.calibration": np.array([0.5, -2.0], np.float32)}
    return StatementJudge(Head("identity_shift", "", tensors, {}), reader), reader


def test_each_distinct_sentence_of_a_role_is_read_once_and_in_its_place(
    judge: tuple[StatementJudge, Reader],
) -> None:
    judging, reader = judge
    roles = ["user", "assistant", "user", "user"]
    found = judging.sentences(roles, ["aa", "aa", "bbbbbb", "aa"])
    assert reader.asked == [("user", "aa"), ("assistant", "aa"), ("user", "bbbbbb")]
    chances = 1 / (1 + np.exp(-(0.5 * np.array([2, 2, 6, 2]) - 2.0)))
    np.testing.assert_allclose(found, chances, atol=1e-6)


def test_numbers_are_one_digit_before_a_sentence_is_read(
    judge: tuple[StatementJudge, Reader],
) -> None:
    judging, reader = judge
    judging.sentences(["user", "user"], ["parcel 403", "parcel 17"])
    assert reader.asked == [("user", without_numbers("parcel 403"))]


def test_nothing_is_read_where_there_is_no_sentence(
    judge: tuple[StatementJudge, Reader],
) -> None:
    judging, reader = judge
    assert judging.sentences([], []).shape == (0,)
    assert not reader.asked
