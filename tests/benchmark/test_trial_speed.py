"""The timing of trials: which files are tried, and what is said of the times."""

from typing import Any

import pytest

from benchmark.sets.gate import FAMILIES
from benchmark.trial_speed import (
    as_text,
    clear_attacks,
    ordinary,
    summarise,
    without_stopping,
)
from service.policy import default_policy


def trial(name: str, early: float, whole: float, *said: str) -> dict[str, Any]:
    return {
        "name": name,
        "attack": True,
        "default": {"seconds": early, "outcome": said[0]},
        "every probe": {"seconds": whole, "outcome": said[-1]},
    }


def test_ordinary_files_and_clear_attacks_of_every_family_are_timed() -> None:
    assert len(ordinary()) >= 12
    assert {p.size for p in (*ordinary(), *clear_attacks())} == {100}
    assert {p.family for p in clear_attacks()} == set(FAMILIES)


def test_the_saving_is_of_medians_and_differing_verdicts_are_named() -> None:
    calm = {"name": "c", "attack": False, "default": {"seconds": 30.0}}
    found = [
        calm,
        trial("a", 10.0, 40.0, "REJECT"),
        trial("b", 12.0, 44.0, "REJECT"),
        trial("d", 50.0, 50.0, "REVIEW", "ACCEPT"),
    ]
    results = summarise(found)
    assert results["ordinary"] == {
        "median_seconds": 30.0,
        "longest_seconds": 30.0,
        "n": 1,
    }
    saved = results["saved on attacks"]["share_of_the_time"]
    assert saved == pytest.approx(12 / 44, 1e-2)
    rejected = results["saved on attacks that the trial rejects"]
    assert rejected == {"share_of_the_time": round(11 / 42, 3), "n": 2}
    assert results["verdicts that differ"] == ["d"]
    assert "trials" not in as_text(results)


def test_without_stopping_changes_nothing_else() -> None:
    policy = default_policy()
    other = without_stopping(policy)
    assert policy.trial.early_stop
    assert not other.trial.early_stop
    assert other.drift == policy.drift
