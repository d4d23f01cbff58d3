import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.estimate import NEAREST, Standing, seconds_left
from service.storage.stages import Lap

BEFORE = {
    "read": Lap(1.0, 100),
    "explicit_harm": Lap(10.0, 100),
    "identity_shift": Lap(20.0, 100),
    "fine-tune": Lap(60.0, 40),
    "report": Lap(2.0, 1),
}


def at(stage: str, done: int, total: int, elapsed: float, rows: int = 100) -> Standing:
    """Stand in a stage, those before it over, in a file of so many rows."""
    over = list(BEFORE)[: list(BEFORE).index(stage)]
    laps = {name: Lap(1.0, rows) for name in over}
    return Standing(stage, done, total, elapsed, laps)


@pytest.mark.parametrize(
    ("standing", "left"),
    [
        (at("read", 0, 1, 0.0), 93.0 - 1.0 - 10.0 - 20.0),  # its rows are not known yet
        (at("explicit_harm", 0, 100, 4.0), 6.0 + 20.0 + 60.0 + 2.0),
        (at("explicit_harm", 0, 100, 40.0), 20.0 + 60.0 + 2.0),
        (at("explicit_harm", 100, 100, 10.0), 20.0 + 60.0 + 2.0),
        # Twice the rows take twice as long; tuning and the report do not.
        (at("explicit_harm", 0, 200, 0.0, rows=200), 20.0 + 40.0 + 60.0 + 2.0),
        # Half way, its own pace and the usual one count alike.
        (at("fine-tune", 20, 40, 50.0), 0.5 * 50.0 + 0.5 * 10.0 + 2.0),
        (at("report", 0, 1, 1.0), 1.0),
    ],
)
def test_the_time_left_is_that_of_the_stages_ahead(
    standing: Standing, left: float
) -> None:
    assert seconds_left(standing, [BEFORE]) == pytest.approx(left)


def test_what_was_fetched_before_says_nothing_of_what_is_not() -> None:
    fetched = {"fetch": Lap(500.0, 1), **BEFORE}
    standing = at("explicit_harm", 0, 100, 0.0)
    assert seconds_left(standing, [fetched]) == seconds_left(standing, [BEFORE])
    standing = Standing("fetch", 0, 1, 0.0, {})
    rest = seconds_left(at("read", 0, 1, 0.0), [BEFORE])
    assert seconds_left(standing, [fetched]) == 500.0 + (rest or 0.0)


def test_nothing_is_said_before_anything_was_measured() -> None:
    assert seconds_left(at("read", 0, 1, 0.0), []) is None


def test_the_nearest_in_rows_are_believed() -> None:
    small = {"read": Lap(0.1, 100), "explicit_harm": Lap(10.0, 100)}
    # So large a file had another pace.
    large = {"read": Lap(50.0, 100_000), "explicit_harm": Lap(90_000.0, 100_000)}
    standing = Standing("explicit_harm", 0, 100, 0.0, {"read": Lap(0.1, 100)})
    history = [*[large] * NEAREST, *[small] * NEAREST]
    assert seconds_left(standing, history) == pytest.approx(10.0)


def test_a_stage_never_seen_before_has_its_own_pace() -> None:
    standing = Standing("new", 30, 40, 90.0, {"read": Lap(1.0, 100)})
    assert seconds_left(standing, [{"read": Lap(1.0, 100)}]) == pytest.approx(30.0)


@given(
    done=st.integers(0, 10**6),
    total=st.integers(0, 10**6),
    elapsed=st.floats(0, 1e6),
    rows=st.integers(0, 10**6),
)
def test_an_estimate_is_a_time(
    done: int, total: int, elapsed: float, rows: int
) -> None:
    for stage in BEFORE:
        left = seconds_left(at(stage, done, total, elapsed, rows), [BEFORE])
        assert left is not None
        assert 0.0 <= left < float("inf")
