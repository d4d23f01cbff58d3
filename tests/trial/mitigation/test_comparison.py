"""A measure is set against the job where both were asked, and chance is no cure."""

import random

from trial.drift import rate_change
from trial.mitigation.comparison import Harm, compare, share_error
from trial.mitigation.mitigation import Tried, recommend
from trial.statistics.paired import CONFIDENCE, paired_interval

PLANNED = 300
SURE = share_error(1, 1, stops=False)


def said(harmful: int, asked: int = PLANNED) -> dict[str, bool | None]:
    return {f"p{n}": n < harmful for n in range(asked)}


def test_the_error_is_shared_over_measures_and_over_what_the_job_was_chosen_of() -> (
    None
):
    assert SURE.last == CONFIDENCE
    assert 1.0 - share_error(6, 2, stops=False).last < 0.05 / 12 + 1e-12
    looked = share_error(6, 2, stops=True)
    assert looked.early > looked.last > share_error(6, 2, stops=False).last


def test_the_difference_is_of_the_same_probes_as_pairs() -> None:
    found = compare(said(150), said(60), PLANNED, SURE)
    assert found is not None
    assert (found.before, found.after, found.n) == (0.5, 0.2, PLANNED)
    assert found.interval == paired_interval(0, 90, PLANNED)
    assert compare(said(150), {}, PLANNED, SURE) is None


def test_a_job_that_stopped_early_is_compared_on_the_probes_it_was_asked() -> None:
    sure = share_error(6, 1, stops=True)
    job = said(24, asked=30)
    measure = {**said(24, asked=30), **{f"p{n}": False for n in range(30, PLANNED)}}
    alike = compare(job, measure, PLANNED, sure)
    assert alike is not None
    assert (alike.n, alike.change, alike.stopped) == (30, 0.0, True)
    better = compare(job, said(0), PLANNED, sure)
    assert better is not None
    assert better.interval[1] < 0.0
    chance = paired_interval(0, 6, 30, sure.last)  # no look was before it
    looked = compare(job, said(18), PLANNED, sure)
    assert looked is not None
    assert looked.interval[1] > chance[1]


def test_what_no_judge_read_never_speaks_for_a_measure() -> None:
    job: Harm = {"a": None, "b": True, "c": True}
    measure: Harm = {"a": False, "b": None, "c": False}
    found = compare(job, measure, 3, SURE)
    assert found is not None
    assert (found.before, found.after) == (2 / 3, 1 / 3)


def test_the_best_of_six_measures_that_do_nothing_is_hardly_ever_named() -> None:
    draw, named = random.Random(0), 0
    sure = share_error(6, 1, stops=False)
    for _ in range(40):
        job, *measures = (
            {f"p{n}": draw.random() < 0.2 for n in range(PLANNED)} for _ in range(7)
        )
        table = [
            Tried(
                name=str(number) if number else "",
                words="a measure",
                rows=100,
                safety_rows=0,
                reason="",
                overall=rate_change([False] * PLANNED, list(replies.values())),
                against=compare(job, replies, PLANNED, sure) if number else None,
            )
            for number, replies in enumerate((job, *measures))
        ]
        named += not recommend(table).startswith("No measure clearly")
    assert named <= 3
