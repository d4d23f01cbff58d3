import numpy as np
import pytest

from detectors.identity.conformal import Reference, weighted_holm


def test_p_values_are_ranks_and_ties_count_against_the_text() -> None:
    reference = Reference(np.asarray([0.1, 0.5, 0.5, 0.9], np.float32), 9)
    assert reference.p_values([0.95, 0.9, 0.5, 0.2, 0.0]).tolist() == pytest.approx(
        [0.1, 0.2, 0.4, 0.4, 0.5]
    )


def test_p_values_of_ordinary_texts_are_not_too_small() -> None:
    draw = np.random.default_rng(0)
    small = []
    for _ in range(300):
        scores = np.sort(draw.normal(size=1000)).astype(np.float32)
        reference = Reference(scores[-100:], len(scores))
        small.append(reference.p_values(draw.normal(size=100).tolist()) <= 0.01)
    assert np.mean(small) == pytest.approx(0.01, abs=0.002)


def test_equal_weights_give_the_correction_of_holm() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.005])
    ones = np.ones(4)
    assert weighted_holm(p, ones).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_heavy_text_pays_less_and_the_family_keeps_its_error() -> None:
    heavy = weighted_holm(np.array([0.004, 0.5, 0.5]), np.array([20.0, 3.0, 3.0]))
    plain = weighted_holm(np.array([0.004, 0.5, 0.5]), np.ones(3))
    assert heavy[0] == pytest.approx(0.004 * 26 / 20)
    assert plain[0] == pytest.approx(0.012)
    draw = np.random.default_rng(1)
    weights = draw.integers(3, 50, 30).astype(float)
    wrong = [
        bool(np.any(weighted_holm(draw.random(30), weights) <= 0.05))
        for _ in range(2000)
    ]
    assert np.mean(wrong) <= 0.06


def test_nothing_to_look_at_gives_nothing() -> None:
    assert weighted_holm(np.zeros(0), np.zeros(0)).shape == (0,)
