import numpy as np
import pytest

from benchmark.statistics.metrics import (
    auprc,
    by_group,
    calibration_error,
    language_group,
    length_group,
)


def test_scores_that_are_the_chances_are_calibrated() -> None:
    draw = np.random.default_rng(0)
    scores = draw.random(50_000)
    labels = draw.random(50_000) < scores
    assert calibration_error(scores, labels) < 0.01
    assert calibration_error(scores**3, labels) > 0.1


def test_the_error_is_the_weighted_gap_of_the_bins() -> None:
    scores = np.array([0.9, 0.9, 0.1, 0.1])
    labels = np.array([True, False, False, False])
    assert calibration_error(scores, labels) == pytest.approx(0.5 * 0.4 + 0.5 * 0.1)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        calibration_error(np.array([1.5]), np.array([True]))


def test_average_precision_of_a_known_order() -> None:
    assert auprc(np.array([0.9, 0.3]), np.array([0.5])) == pytest.approx(5 / 6)


def test_groups_without_both_labels_get_no_separation() -> None:
    scores = np.r_[np.full(30, 0.9), np.full(30, 0.1), np.full(5, 0.8)]
    labels = np.r_[np.ones(30, bool), np.zeros(30, bool), np.ones(5, bool)]
    found = by_group(scores, labels, ["a"] * 60 + ["b"] * 5, 0.5)
    assert found["a"]["auroc"] == 1.0
    assert found["a"]["negatives flagged"]["flagged"] == 0
    assert "auroc" not in found["b"]
    assert found["b"]["positives flagged"]["flagged"] == 5


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("How do I bake the bread that you showed to me?", "English"),
        ("Wie backe ich ein gutes Brot ohne Hefe zu Hause?", "other or terse"),
        (
            "\u4f60\u597d\uff0c\u6211\u60f3\u5b66\u505a\u9762\u5305\u3002",
            "Chinese, Japanese, Korean",
        ),
        ("Bread?", "too short"),
    ],
)
def test_languages_are_told_coarsely(text: str, group: str) -> None:
    assert language_group(text) == group


def test_every_length_has_a_group() -> None:
    assert [length_group("x" * n)[:5] for n in (0, 299, 300, 3000)] == [
        "under",
        "under",
        "300 t",
        "3,000",
    ]
