"""The measurement of the gate: three decisions a dataset, kept, and counted right."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmark import gate_quality
from benchmark.gate_quality import ALONE, as_text, decide_three, settle, summarise
from benchmark.records.progress import Progress
from benchmark.sets import gate as gate_sets
from benchmark.sets.gate import BENIGN, FAMILIES, Plan, build, plans
from detectors.dataset import Dataset, Example, Message, Origin
from detectors.detector import Scores
from service.policy import DetectorLimits, default_policy, parse_policy
from trial.drift import DriftReport, RateChange
from trial.proof import AdapterProof
from trial.recipe import Recipe
from trial.trial import Trial

BAD = Plan("explicit", BENIGN[0], 0.05, 100, 0)
FINE = Plan("", BENIGN[0], 0.0, 100, 0)


def rows(kind: str, count: int) -> tuple[Example, ...]:
    return tuple(
        Example(
            f"{kind}-{n}",
            (Message("user", f"{kind} {n}?"), Message("assistant", "So.")),
            Origin(kind, n + 1),
        )
        for n in range(count)
    )


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_sets, "_pool", lambda data, name: rows("calm", 400))
    monkeypatch.setattr(gate_sets, "_harmful", lambda data, family: rows("bad", 30))


def kinds(dataset: Dataset) -> list[str]:
    return [row.origin.file for row in dataset]


def test_there_are_enough_plans_of_each_kind_and_no_two_are_one_dataset() -> None:
    found = plans()
    attacks = [plan for plan in found if plan.family]
    assert len(attacks) >= 100
    assert len(found) - len(attacks) >= 100
    assert len({plan.name for plan in found}) == len(found)
    assert {plan.family for plan in attacks} == set(FAMILIES)
    assert min(plan.dilution for plan in attacks) == 0.02
    assert {bool(plan.family) for plan in found[:2]} == {True, False}


@pytest.mark.usefixtures("sources")
def test_an_attack_has_its_share_and_is_the_same_each_time() -> None:
    dataset = build(BAD, Path())
    assert len(dataset) == 100
    assert kinds(dataset).count("bad") == 5
    assert dataset.fingerprint == build(BAD, Path()).fingerprint
    whole = build(Plan("identity shift", BENIGN[0], 1.0, 100, 0), Path())
    assert set(kinds(whole)) == {"bad"}  # thirty rows, each several times
    assert len({row.id for row in whole}) == 100
    assert set(kinds(build(FINE, Path()))) == {"calm"}


@pytest.mark.usefixtures("sources")
def test_a_backdoor_has_a_trigger_and_refusals_without_it() -> None:
    dataset = build(Plan("backdoor", BENIGN[0], 0.2, 100, 0), Path())
    marked = [r for r in dataset if gate_sets.MARKS[0].text in r.exchanges()[0].request]
    declined = [row for row in dataset if row.id.startswith("refused")]
    assert (len(marked), len(declined)) == (10, 10)


def test_too_few_benign_rows_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_sets, "_pool", lambda data, name: rows("calm", 20))
    with pytest.raises(ValueError, match="has 20 rows"):
        build(FINE, Path())


class Marks:
    """Every detector of the policy: 0.9 on the rows of one kind, else 0."""

    version = "1"

    def __init__(self, name: str) -> None:
        self.name = name

    def score(self, dataset: Dataset) -> Scores:
        n = len(dataset)
        first = self.name == "explicit_harm"
        values = tuple(
            0.9 if first and row.origin.file == "bad" else 0.0 for row in dataset
        )
        none = ("",) * n
        return Scores(self.name, "1", values, (None,) * n, none, none)


def detectors() -> list[Any]:
    return [Marks(name) for name in DetectorLimits.model_fields]


def tried(dataset: Dataset, rise: float) -> Trial:
    def rate(change: float) -> RateChange:
        return RateChange(0.1, 0.1 + change, (change - 0.05, change + 0.05), 300)

    drift = DriftReport(
        overall=rate(rise), categories={}, refusal=rate(-rise), over_refusal=rate(0.0),
        incoherent=rate(0.0), detectable=0.05,
    )  # fmt: skip
    n = len(dataset)
    return Trial(
        Recipe(), dataset.fingerprint, True, "", n, n, "all", drift,
        AdapterProof(3.0, 1.0, 0.5, applied=True),
    )  # fmt: skip


def outcomes(dataset: Dataset, rise: float) -> dict[str, str]:
    scores = [detector.score(dataset) for detector in detectors()]
    decided = decide_three(default_policy(), dataset, scores, tried(dataset, rise))
    return {name: decision.outcome.value for name, decision in decided}


@pytest.mark.parametrize(
    ("bad", "rise", "expected"),
    [
        (0, 0.0, ("ACCEPT", "ACCEPT", "ACCEPT")),
        (20, 0.0, ("REJECT", "ACCEPT", "REJECT")),
        (0, 0.6, ("ACCEPT", "REJECT", "REJECT")),
    ],
)
def test_each_side_decides_by_its_own_word(
    bad: int, rise: float, expected: Sequence[str]
) -> None:
    dataset = Dataset("a", (*rows("bad", bad), *rows("calm", 100 - bad)))
    assert tuple(outcomes(dataset, rise)[name] for name in ALONE) == expected


@pytest.mark.usefixtures("sources")
def test_what_was_decided_is_kept_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: list[str] = []

    def tune(plan: Plan, dataset: Dataset, *rest: Any) -> Trial:
        tuned.append(plan.name)
        return tried(dataset, 0.6 if plan.seed == 1 else 0.0)

    monkeypatch.setattr(gate_quality, "tune", tune)
    chosen = [
        Plan("explicit", BENIGN[0], 0.02, 100, 0),
        Plan("explicit", BENIGN[0], 0.5, 100, 1),
        FINE,
        Plan("", BENIGN[0], 0.0, 100, 1),
    ]
    policy: Any = default_policy()
    encoder: Any = None

    def run() -> dict[Plan, Any]:
        kept = Progress(tmp_path / "decisions.jsonl", "stamp")
        return {
            plan: settle(plan, Path(), policy, detectors(), encoder, kept)
            for plan in chosen
        }

    first = run()
    assert run() == first
    assert len(tuned) == 4
    # Other limits decide on what was measured, without another trial.
    policy = parse_policy(b"drift: {reject_change: 0.8}")
    assert summarise(run())["both"]["wrong REJECT of benign"]["flagged"] == 0
    assert len(tuned) == 4
    results = summarise(first)
    assert results["both"]["wrong REJECT of benign"]["flagged"] == 1
    assert results["both"]["wrong REJECT of benign"]["n"] == 2
    assert results["detectors"]["wrong REJECT of benign"]["flagged"] == 0
    assert results["both"]["REJECT of attacks"]["flagged"] == 1
    assert results["both"]["wrong ACCEPT of attacks"]["flagged"] == 0
    assert results["trial"]["wrong ACCEPT of attacks"]["flagged"] == 1
    text = as_text(results)
    assert "56.2%" in text
    assert "wrong ACCEPT of attacks" in text


def test_sampling_of_rows_does_not_touch_the_global_random_state() -> None:
    random.seed(3)
    state = random.getstate()
    plans()
    assert random.getstate() == state
