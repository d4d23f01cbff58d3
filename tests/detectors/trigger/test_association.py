from math import log, log10

import pytest
from scipy.stats import hypergeom

from detectors.trigger.association import Table, adjusted, log10_tail


@pytest.mark.parametrize(
    ("found", "drawn", "marked", "total"),
    [(10, 10, 10, 20), (60, 100, 100, 1000), (8, 9, 300, 900), (3, 10, 4, 60)],
)
def test_the_tail_is_that_of_the_hypergeometric(found, drawn, marked, total) -> None:
    expected = float(hypergeom.logsf(found - 1, total, marked, drawn))
    ours = log10_tail(found, drawn, marked, total)
    assert ours == pytest.approx(expected / log(10), abs=1e-6)


def test_ten_of_ten_against_none_of_ten() -> None:
    table = Table(10, 0, 0, 10)
    assert table.log10_p == pytest.approx(-log10(184756))
    assert (table.share_with, table.share_without) == (1.0, 0.0)


def test_no_more_than_expected_is_no_evidence() -> None:
    assert Table(5, 5, 50, 50).log10_p == 0.0
    assert Table(0, 10, 10, 10).log10_p == 0.0
    assert Table(0, 0, 10, 10).log10_p == 0.0
    assert Table(10, 10, 0, 0).log10_p == 0.0


def test_a_vast_difference_does_not_underflow() -> None:
    assert Table(2000, 0, 0, 2000).log10_p < -1000


def test_many_tests_raise_the_p_value_up_to_one() -> None:
    assert adjusted(-6, 1000) == pytest.approx(1e-3)
    assert adjusted(-2, 1000) == 1.0
    assert adjusted(-2000, 10) == 0.0
