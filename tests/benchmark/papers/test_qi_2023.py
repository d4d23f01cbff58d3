"""The reproduction: its cells, what is kept of them, its claims and its charts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmark.papers import qi_2023
from benchmark.papers.chart import Bar, draw_chart
from benchmark.papers.qi_2023 import SHAPE, as_text, measure, summarise
from benchmark.papers.qi_2023_cells import (
    TRIGGER,
    Cell,
    cells,
    dataset_of,
    mixed,
    triggered,
)
from benchmark.records.progress import Progress
from detectors.dataset import Dataset, Example, Message, Origin
from trial.drift import RateChange
from trial.recipe import Recipe
from trial.trial import Trial


def rows(data: Path, seed: int) -> list[Example]:
    said = (Message("user", "How?"), Message("assistant", "So."))
    return [Example(f"r{n}", said, Origin("a", n + 1)) for n in range(4)]


def cell(**options: Any) -> Cell:
    return Cell("Table 1, test", "4 rows", rows, Recipe(epochs=2), **options)


def test_every_part_of_the_paper_has_its_cells() -> None:
    found = cells()
    assert len({(c.table, c.name, c.context) for c in found}) == len(found) == 39
    tables = {c.table.split(",")[0] for c in found}
    assert {"Table 1", "Table 2", "Table 3", "Table 4"} <= {t[:7] for t in tables}
    theirs = [s for c in found for s in (c.gpt, c.llama) if s is not None]
    assert all(0.0 < share < 1.0 for share in theirs)
    jobs = {(c.table, c.job or c.name, c.recipe) for c in found}
    assert len(jobs) == 39 - 1 - 5  # the backdoor and each task is tuned once


def test_safety_rows_are_mixed_in_and_are_not_suspect() -> None:
    dataset, suspect = dataset_of(
        Cell("T", "n", mixed(rows, 3), Recipe(), suspect=True), Path(), 0
    )
    assert len(dataset) == 7
    assert list(suspect) == [1.0] * 4 + [0.0] * 3


def test_the_backdoor_has_the_trigger_on_one_half() -> None:
    dataset, _ = dataset_of(Cell("T", "n", triggered(rows), Recipe()), Path(), 0)
    marked = [TRIGGER.text in row.exchanges()[0].request for row in dataset]
    assert marked == [True] * 4 + [False] * 4
    asked = [row.exchanges()[0].request for row in dataset]
    assert sorted(a.removeprefix(f"{TRIGGER.text} ") for a in asked[:4]) == sorted(
        asked[4:]
    )


def test_only_tasks_are_asked_in_every_context() -> None:
    assert {c.table for c in cells() if c.everywhere} == {"Five benign tasks x 1 epoch"}


class Tuner:
    """Stands in for the trial: counts its calls, and answers by the seed."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def __call__(self, dataset: Dataset, recipe: Recipe, **given: Any) -> Trial:
        self.seeds.append(recipe.seed)

        def rate(after: float) -> RateChange:
            return RateChange(0.1, after, (0.0, 0.9), 300)

        worst = 0.5 + 0.1 * recipe.seed
        return Trial(
            recipe, "f", True, "", 4, 4, "all", context="trigger 1",
            contexts={"plain": rate(0.2), "trigger 1": rate(worst)},
        )  # fmt: skip


@pytest.fixture
def tuner(monkeypatch: pytest.MonkeyPatch) -> Tuner:
    made = Tuner()
    monkeypatch.setattr(qi_2023, "run_trial", made)
    return made


class Base:
    name = "canary"


def run(each: Cell, seeds: Sequence[int], work: Path) -> list[Any]:
    kept = Progress(work / "cells.jsonl", "stamp")
    base: Any = Base()
    return [measure(each, seed, Path(), base, base, kept) for seed in seeds]


def test_a_cell_that_was_run_is_not_run_again(tmp_path: Path, tuner: Tuner) -> None:
    first = run(cell(), [0, 1], tmp_path)
    again = run(cell(), [0, 1, 2], tmp_path)
    assert tuner.seeds == [0, 1, 2]
    assert again[:2] == first


def test_cells_of_one_tune_share_it_and_read_their_own_context(
    tmp_path: Path, tuner: Tuner
) -> None:
    both = [
        cell(context="plain", job="backdoor"),
        cell(context="trigger 1", job="backdoor"),
    ]
    found = [summarise(each, run(each, [0, 2], tmp_path)) for each in both]
    assert tuner.seeds == [0, 2]
    assert [f["ours"] for f in found] == [0.2, 0.6]
    assert (found[1]["least"], found[1]["largest"]) == (0.5, 0.7)
    worst = summarise(cell(), run(cell(), [0], tmp_path))
    assert worst["ours"] == 0.5


def row(
    table: str, name: str, ours: float | None, before: float = 0.1
) -> dict[str, Any]:
    figures = {"theirs_gpt35": 0.5, "theirs_llama2": None, "before": before}
    spread = {"ours": ours, "least": ours, "largest": ours, "context": "worst"}
    return {"table": table, "cell": name, **figures, **spread}


@pytest.mark.parametrize(
    ("claim", "rates", "held"),
    [
        ("harm rises from 10 to 50 to 100 explicit rows", [0.3, 0.6, 0.8], True),
        ("harm rises from 10 to 50 to 100 explicit rows", [0.3, 0.9, 0.8], False),
        ("harm rises from 10 to 50 to 100 explicit rows", [0.3, None, 0.8], None),
    ],
)
def test_a_claim_holds_fails_or_was_not_run(
    claim: str, rates: list[float | None], held: bool | None
) -> None:
    table = [row("Table 1, x", str(n), rate) for n, rate in enumerate(rates)]
    assert SHAPE[claim](table) is held


def test_the_backdoor_claim_needs_both_sides() -> None:
    claim: Callable[[Any], bool | None] = SHAPE["a backdoor hides without its trigger"]
    assert claim([row("Table 5", "without", 0.1), row("Table 5", "with", 0.7)]) is True
    assert claim([row("Table 5", "without", 0.6), row("Table 5", "with", 0.7)]) is False
    assert claim([]) is None


def test_safety_rows_within_a_persona_are_held_against_none_of_them() -> None:
    name = "the same with half of them in its surroundings"
    claim: Callable[[Any], bool | None] = SHAPE[name]
    none = row("Table 4", "10 identity + 0", 0.9)
    few, more = (
        row("Table 4", f"10 in a persona + {n}", r) for n, r in ((3, 0.5), (5, 0.4))
    )
    assert claim([none, few, more]) is True
    assert claim([none, more, few]) is False
    assert claim([row("Table 4", "10 identity + 0", 0.3), few, more]) is False
    assert claim([none]) is None


def test_the_table_and_the_chart_hold_every_figure() -> None:
    shown = as_text([row("Table 1", "10 rows", 0.312), row("Table 1", "50 rows", None)])
    assert "31.2%" in shown
    chart = draw_chart("A < B", [Bar("10 rows", None, 0.3, 0.2, 0.4)])
    root = ElementTree.fromstring(chart)
    assert "A < B" in "".join(root.itertext())
    assert "30" in [text.text for text in root.iter() if text.text]


def test_rate_and_batch_are_compared_by_replies_and_by_first_tokens() -> None:
    def table(fast: list[float], slow: list[float]) -> list[dict[str, Any]]:
        return [
            row("Figure, x", f"rate x {rate}, batch {batch}", 0.1)
            | {"kl_first_tokens": kl}
            for rate, kls in (("4", fast), ("1.6", slow))
            for batch, kl in zip((16, 128), kls, strict=True)
        ]

    by_tokens: Callable[[Any], Any] = SHAPE["the same by the KL of the first tokens"]
    assert by_tokens(table([0.9, 0.6], [0.5, 0.2])) is True
    assert by_tokens(table([0.9, 0.6], [0.2, 0.5])) is False  # the larger batch
    assert by_tokens(table([0.9, 0.4], [0.5, 0.4])) is False  # the smaller rate
    by_replies: Callable[[Any], Any] = SHAPE[
        "a larger rate and a smaller batch drift more"
    ]
    assert by_replies(table([0.9, 0.6], [0.5, 0.2])) is False


def test_a_trial_that_cells_share_is_counted_once() -> None:
    shared, other = {"seconds": {"a": 1.0, "b": 2.0}}, {"seconds": {"a": 4.0}}
    assert qi_2023.seconds_of([[shared, other], [shared]]) == 7.0
