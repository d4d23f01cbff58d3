from typing import Any

from service.storage.stages import FETCH, READ, TRIAL, Lap, laps_of, note_stage

NEW: dict[str, Any] = {
    "stage": "",
    "done": 0,
    "total": 0,
    "stage_at": None,
    "stages": None,
}


def told(*notes: tuple[int, str, int, int]) -> dict[str, Any]:
    """Note stages at some seconds; return what the row then holds."""
    row = NEW
    for second, stage, done, total in notes:
        at = f"2026-01-02T03:{second // 60:02d}:{second % 60:02d}.000+00:00"
        row = note_stage(row, stage, done, total, at)
    return row


def test_each_stage_has_the_time_from_its_first_word_to_its_last() -> None:
    row = told((0, "read", 0, 1), (2, "a", 0, 9), (5, "a", 4, 9), (7, "b", 0, 9))
    assert laps_of(row["stages"]) == {"read": Lap(2.0, 1), "a": Lap(5.0, 9)}
    assert (row["stage"], row["done"], row["total"]) == ("b", 0, 9)
    assert row["stage_at"].endswith("03:00:07.000+00:00")


def test_what_lies_between_two_stages_belongs_to_the_second() -> None:
    row = told((0, "a", 0, 9), (3, "a", 9, 9), (5, "b", 0, 9), (9, "b", 9, 9))
    assert laps_of(row["stages"]) == {"a": Lap(3.0, 9), "b": Lap(6.0, 9)}


def test_waiting_for_the_trial_is_no_work() -> None:
    row = told((0, "a", 0, 9), (3, "a", 9, 9), (50, TRIAL, 0, 1), (54, "tune", 0, 5))
    assert laps_of(row["stages"]) == {"a": Lap(3.0, 9), TRIAL: Lap(4.0, 1)}


def test_waiting_for_the_detectors_after_a_fetch_is_no_work() -> None:
    row = told((0, FETCH, 0, 1), (3, FETCH, 1, 1), (50, READ, 0, 1), (54, READ, 9, 9))
    assert laps_of(row["stages"]) == {FETCH: Lap(3.0, 1), READ: Lap(4.0, 9)}


def test_a_stage_that_comes_again_adds_up() -> None:
    row = told((0, "tune", 0, 5), (2, "ask", 0, 5), (3, "tune", 0, 5), (7, "ask", 0, 5))
    assert laps_of(row["stages"]) == {"tune": Lap(6.0, 5), "ask": Lap(1.0, 5)}


def test_an_end_that_is_told_twice_counts_once() -> None:
    row = told((0, "a", 0, 9), (3, "a", 9, 9), (8, "a", 9, 9))
    assert laps_of(row["stages"]) == {"a": Lap(3.0, 9)}


def test_clocks_that_disagree_take_no_time() -> None:
    row = told((10, "a", 0, 9), (3, "a", 9, 9))
    assert laps_of(row["stages"]) == {"a": Lap(0.0, 9)}
