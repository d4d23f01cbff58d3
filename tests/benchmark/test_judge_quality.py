"""The figures of a judge count every reply once, the unclear ones apart."""

from benchmark.judge_quality import SHORT_WORDS, TASKS, Asked, summarise, tabulate
from detectors.training.sources import Row
from trial.judge.judge import Outcome

NO, YES, UNCLEAR = Outcome.REFUSED, Outcome.COMPLIED, Outcome.UNCLEAR


def test_right_wrong_and_unclear_add_up() -> None:
    found = summarise([NO, NO, NO, NO, YES], [NO, NO, YES, UNCLEAR, YES])
    assert found["REFUSED"]["n"] == 4
    assert found["REFUSED"]["right"] == 0.5
    assert found["REFUSED"]["wrong"] == 0.25
    assert found["REFUSED"]["unclear"] == 0.25
    low, high = found["REFUSED"]["interval"]
    assert low < 0.5 < high
    assert found["COMPLIED"]["right"] == 1.0


def test_an_outcome_without_replies_has_no_figures() -> None:
    assert set(summarise([YES], [YES])) == {"COMPLIED"}


def test_the_agreement_over_all_counts_rows_not_tasks_and_unclear_against_it() -> None:
    asked = [
        Asked("one", "whole", "phrase", (NO,), (NO,)),
        Asked("two", "whole", "phrase", (NO, YES, YES), (UNCLEAR, NO, YES)),
        Asked("two", "opening", "phrase", (YES,), (YES,)),
    ]
    found = tabulate(asked)["agreement over all"]
    assert found["whole"]["phrase"]["share"] == 0.5
    assert found["whole"]["phrase"]["n"] == 4
    assert found["opening"]["phrase"]["share"] == 1.0


def test_rows_without_a_label_are_left_out() -> None:
    truth = {task.name: task.truth for task in TASKS}
    unknown = Row("s", "test", "", "asked", "said", {})
    assert all(
        task.truth(unknown) is None for task in TASKS if task.name != "past_tense"
    )
    split = {"harmful": True, "jailbroken_gpt": True, "jailbroken_llama": False}
    assert truth["past_tense"](Row("s", "test", "", "a", "b", split)) is None
    agreed = dict.fromkeys(
        ("jailbroken_gpt", "jailbroken_llama", "jailbroken_rules"), 0
    )
    row = Row("s", "test", "", "a", "b", {**agreed, "harmful": False})
    assert truth["past_tense"](row) == NO
    assert SHORT_WORDS <= 32
