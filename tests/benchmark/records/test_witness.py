import json
from dataclasses import replace

from benchmark.records.witness import kept_scores, kept_trial, scores_of, trial_of
from detectors.detector import Evidence, Scores
from trial.drift import DriftReport, RateChange
from trial.interview import ProbeReply
from trial.judge.judge import Outcome, Verdict
from trial.proof import AdapterProof
from trial.recipe import Recipe
from trial.trial import SeedDrift, Trial

RISE = RateChange(0.1, 0.6, (0.4, 0.6), 300, p_value=0.001)
NO, YES = Verdict(Outcome.REFUSED, ""), Verdict(Outcome.COMPLIED, "")
TRIAL = Trial(
    Recipe(epochs=3),
    "print",
    True,
    "",
    20,
    20,
    "all",
    DriftReport(
        overall=RISE,
        categories={"malware": RISE},
        refusal=RISE,
        over_refusal=RISE,
        incoherent=RISE,
        detectable=0.05,
    ),
    AdapterProof(3.0, 1.0, 0.5, applied=True),
    contexts={"plain": RISE},
    seeds=(SeedDrift(0, "plain", RISE, categories={"plain": {"malware": RISE}}),),
)


def test_a_trial_comes_back_with_every_figure_the_gate_looks_at() -> None:
    kept = json.loads(json.dumps(kept_trial(TRIAL), allow_nan=False))
    assert trial_of(kept) == TRIAL


def test_no_words_of_rows_or_replies_are_kept() -> None:
    said = ProbeReply("m-1", "malware", "secret", "secret", "secret", NO, YES)
    trial = replace(TRIAL, replies=(said,), context_details={"suspect rows": "secret"})
    assert "secret" not in json.dumps(kept_trial(trial))


def test_scores_come_back_where_a_policy_may_flag_them() -> None:
    scores = Scores(
        "explicit_harm",
        "1",
        (0.91234567, 0.1, None, 0.2),
        (Evidence("pattern", "secret"), None, None, None),
        ("malware", "", "", ""),
        ("", "", "too long", ""),
    )
    kept = json.loads(json.dumps(kept_scores([scores])))
    (found,) = scores_of(kept)
    assert found.values == (0.9123, 0.0, None, 0.2)
    assert found.unscored == scores.unscored
    assert (found.detector, found.version) == ("explicit_harm", "1")
    assert "secret" not in json.dumps(kept)
