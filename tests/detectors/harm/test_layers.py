"""How the logits of an exchange are joined, and what its length takes from them."""

import numpy as np
import pytest

from detectors.harm.layers import PIECE_DISCOUNT, combine, discount, joint


def test_the_reader_of_pairs_weighs_twice_the_frozen_layers() -> None:
    frozen, paired = np.array([3.0, -3.0], np.float32), np.array([0.0, 3.0], np.float32)
    assert joint(frozen, paired).tolist() == pytest.approx([1.0, 1.0])


def test_a_row_of_one_piece_loses_nothing_and_longer_ones_lose_more() -> None:
    lost = discount(np.array([1, 2, 8, 64]))
    assert lost[0] == 0.0
    assert np.all(np.diff(lost) > 0)
    assert lost[3] - lost[2] == pytest.approx(PIECE_DISCOUNT * np.log(8), abs=1e-5)


def test_a_harmless_request_or_a_refusal_keeps_the_product_low() -> None:
    low, high = np.array([-4.0], np.float32), np.array([4.0], np.float32)
    assert combine(low, high, low)[0] < -3.0
    assert combine(high, low, low)[0] < -3.0
    assert combine(high, high, high)[0] > 3.0
