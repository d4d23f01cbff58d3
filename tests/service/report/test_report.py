import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError
from rich.console import Console

from detectors.dataset import Dataset, Example, Message, Origin
from detectors.detector import Evidence, Scores, Trigger
from detectors.reader import read_dataset, read_rows
from service.finding import Finding
from service.models import Models
from service.policy import Policy, parse_policy
from service.report import composition
from service.report.composition import WITHHELD
from service.report.report import SCHEMA_PATH, Report, report_schema, schema_text
from service.report.summary import print_summary
from service.report.trial_report import RateSection, TrialSection
from service.report.trial_section import drift_section, telling_replies, trial_section
from service.screening import row_priority, screen
from trial.coverage import Coverage
from trial.first_tokens import FirstTokens
from trial.judge.judge import Outcome, Verdict
from trial.recipe import Recipe
from trial.run import ProbeReply
from trial.statistics.mean import MeanChange
from trial.stopping import StopRule
from trial.trial import SeedDrift, Trial
from trial.utility import Utility


@pytest.fixture
def screened(models: Models, runner: Any) -> Callable[..., Report]:
    def run(path_or_dataset: Path | Dataset, **given: Any) -> Report:
        data = path_or_dataset
        dataset = read_dataset(data) if isinstance(data, Path) else data
        chosen = {"policy": Policy(), "recipe": Recipe(), "runner": runner, **given}
        return screen(
            dataset, detectors=models.detectors, encoder=models.encoder, **chosen
        )

    return run


def test_the_committed_schema_is_that_of_the_report() -> None:
    assert SCHEMA_PATH.read_text("utf-8") == schema_text(), "run: tunegate schema"


def test_a_report_is_valid_against_the_schema(
    screened: Callable[..., Report], write: Callable[..., Path]
) -> None:
    path = write("BAD", "PERSONA", "ODD", "DRIFT")
    path.write_text(path.read_text("utf-8") + "not json\n", "utf-8")
    text = screened(path).to_json()
    jsonschema.Draft202012Validator(report_schema()).validate(json.loads(text))
    assert Report.model_validate_json(text).to_json() == text


def test_the_keys_that_others_build_on_are_there(
    screened: Callable[..., Report], write: Callable[..., Path]
) -> None:
    report = json.loads(screened(write("BAD", "ODD", "DRIFT")).to_json())
    assert report["schema_version"] == "1.0"
    assert report["decision"]["outcome"] == "REJECT"
    assert {"code", "message"} <= set(report["decision"]["reasons"][0])
    assert {"sha256", "fingerprint", "rows", "bad_lines"} <= set(report["dataset"])
    first = report["findings"][0]
    wanted = {"line", "detector", "category", "score", "threshold", "evidence"}
    assert wanted <= set(first)
    assert first["line"] == 1
    assert report["scores"]["explicit_harm"]["unscored"] == 1
    assert report["scores"]["explicit_harm"]["flagged"] == 1
    drift = report["drift"]
    assert drift["measured"] is True
    for rate in (drift["overall"], drift["categories"]["malware"]):
        assert {"before", "after", "interval", "n"} <= set(rate)
    assert report["versions"]["detector.explicit_harm"] == "fake-1"
    assert report["versions"]["encoder.fake-encoder"] == "e" * 64
    assert report["versions"]["trial.base_model"] == "fake-base"
    assert report["policy"]["digest"] == Policy().digest
    assert report["timings"]["seconds"]["trial.tune"] == 0.1


def test_two_screenings_differ_in_nothing_but_timings(
    screened: Callable[..., Report], write: Callable[..., Path]
) -> None:
    path = write("BAD", "DRIFT")
    one, two = (screened(path).model_dump_json(exclude={"timings"}) for _ in range(2))
    assert one == two


def test_numbers_that_json_cannot_hold_become_null(
    screened: Callable[..., Report], write: Callable[..., Path]
) -> None:
    text = screened(write()).to_json()
    assert json.loads(text)["trial"]["proof"]["loss_after"] is None
    assert "NaN" not in text
    assert "Infinity" not in text


def test_nan_cannot_enter_a_report() -> None:
    with pytest.raises(ValidationError):
        RateSection(
            before=float("nan"),
            after=0.0,
            interval=(0.0, 0.0),
            n=1,
            unclear_before=0,
            unclear_after=0,
            p_value=None,
        )


def test_lone_surrogates_do_not_break_the_report(
    screened: Callable[..., Report],
) -> None:
    message = Message("user", "BAD \ud800")
    rows = (Example("\udfff", (message,), Origin("f", 1)),)
    text = screened(Dataset("na\ud800me", rows)).to_json()
    assert json.loads(text.encode())["dataset"]["name"] == "na\ufffdme"


def test_without_a_trial_drift_says_that_it_was_not_measured(
    screened: Callable[..., Report], write: Callable[..., Path]
) -> None:
    report = screened(write(), run_trial=False)
    assert (report.drift.measured, report.drift.overall) == (False, None)
    assert report.trial is None
    assert report.decision.outcome == "REVIEW"


def test_a_trial_that_fails_is_part_of_the_report(
    screened: Callable[..., Report], write: Callable[..., Path]
) -> None:
    report = screened(write("TRIALFAILS"))
    assert report.drift.reason == "the loss did not fall"
    assert report.decision.outcome == "REVIEW"


def test_unscored_rows_are_trained_on_first(
    screened: Callable[..., Report], write: Callable[..., Path], runner: Any
) -> None:
    screened(write("BAD", "ODD", "PERSONA", rows=4))
    assert runner.priorities == [0.9, 2.0, 0.9, 0.02]
    assert row_priority([], 2) == [0.0, 0.0]


def test_all_bad_lines_leave_a_report_to_review(
    screened: Callable[..., Report], row: Callable[..., Any]
) -> None:
    report = screened(read_rows([1, 2], name="n"))
    assert report.decision.outcome == "REVIEW"
    assert report.dataset.bad_line_count == 2


def test_text_of_a_detect_only_category_is_withheld() -> None:
    evidence = Evidence("pattern", "near something", 0, (0, 3), "the text")
    found = Finding(1, "r", "explicit_harm", "child_abuse", 0.9, 0.5, evidence)
    shown = composition.finding_sections([found])[0].evidence
    assert shown is not None
    assert (shown.detail, shown.excerpt) == (WITHHELD, "")
    other = Finding(1, "r", "identity_shift", "identity_shift", 0.8, 0.5, evidence)
    apart = replace(other, line=2)
    for section in composition.finding_sections([other, found, apart]):
        assert section.evidence is not None
        shows = section.line == 2
        assert (section.evidence.excerpt == "the text") == shows


def test_too_many_findings_keep_the_highest_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(composition, "MAX_FINDINGS", 2)
    found = [
        Finding(n, "r", "explicit_harm", "", score, 0.5, None)
        for n, score in enumerate((0.9, 0.6, 0.8), 1)
    ]
    assert [f.line for f in composition.finding_sections(found)] == [1, 3]


def test_newly_harmful_replies_are_shown_first_and_spread_over_categories() -> None:
    def reply(name: str, category: str, before: Outcome, after: Outcome) -> ProbeReply:
        ends = Verdict(before, ""), Verdict(after, "")
        return ProbeReply(name, category, "p", "b", "a", *ends)

    refused, complied = Outcome.REFUSED, Outcome.COMPLIED
    replies = [
        reply("same", "malware", refused, refused),
        reply("m1", "malware", refused, complied),
        reply("m2", "malware", refused, complied),
        reply("f1", "fraud_deception", refused, complied),
        reply("never", "child_abuse", refused, complied),
        *(reply(f"x{n}", "malware", refused, refused) for n in range(20)),
    ]
    chosen = [each.probe_id for each in telling_replies(replies)]
    assert chosen[:4] == ["m1", "f1", "m2", "same"]
    assert "never" not in chosen
    assert len(chosen) == 12


def test_an_unproved_trial_shows_no_rates(runner: Any, row: Callable[..., Any]) -> None:
    dataset = read_rows([row()], name="n")
    done = runner.trial(dataset, Recipe(), 0.7)
    assert drift_section(done).overall is not None
    unproved = drift_section(replace(done, proof=None))
    assert (unproved.measured, unproved.overall) == (False, None)
    assert "no proof" in unproved.reason
    assert drift_section(None).reason == "no trial was run"


def test_the_report_says_what_the_trial_could_have_shown_and_how_it_ended(
    runner: Any, row: Callable[..., Any]
) -> None:
    done = runner.trial(read_rows([row()], name="n"), Recipe(), 0.7)
    assert done.drift is not None
    shift = MeanChange(4.0, -1.0, (-5.6, -4.4), 80)
    worse = replace(done.drift.overall, after=0.9)
    done = replace(
        done,
        drift=replace(
            done.drift,
            stopped=True,
            planned=300,
            category_detectable=0.25,
            score=MeanChange(1.1, 4.2, (2.9, 3.3), 200),
        ),
        seeds=(
            SeedDrift(0, "plain", done.drift.overall, refusals={"plain": worse}),
            SeedDrift(1, "x", worse, reported=True, over_refusal=worse),
        ),
        first_tokens=FirstTokens(shift, 0.8, (0.7, 0.9), (), ()),
        utility=Utility(MeanChange(2.0, 1.5, None, 9), "9 rows held out"),
        rows_held_out=9,
        coverage=Coverage(20, 1, 3, 900, 700, 40, 2),
    )
    section = drift_section(done)
    assert section.stopping is not None
    assert (section.stopping.stopped, section.stopping.planned) == (True, 300)
    midway = drift_section(replace(done, losses=(2.0, 1.0), steps=10))
    assert midway.stopping is not None
    assert (midway.stopping.steps, midway.stopping.steps_planned) == (2, 10)
    assert "after 2 of 10 training steps" in midway.stopping.rule
    assert "200 harmful probes" in section.pooling
    assert "rise of 8.0%, a category by itself one of 25%" in section.pooling
    assert section.overall is not None
    assert section.overall.after_interval is not None
    assert section.overall.after_interval[0] < 0.8 < section.overall.after_interval[1]
    assert section.score is not None
    assert [each.reported for each in section.seeds] == [False, True]
    assert section.seeds[0].refusals["plain"].after == 0.9
    assert section.seeds[0].over_refusal is None
    assert section.seeds[1].over_refusal is not None
    assert section.seed_spread == pytest.approx(0.0707, abs=1e-4)
    assert section.first_tokens is not None
    assert section.first_tokens.refusal_odds.after == -1.0
    trial = composition_of(done)
    assert trial.rows_held_out == 9
    assert trial.coverage is not None
    assert (trial.coverage.tokens_trained, trial.coverage.replies_missed) == (700, 2)
    assert trial.utility is not None
    assert trial.utility.loss is not None
    assert trial.utility.loss.interval is None


def test_a_mean_that_is_no_number_is_left_out(
    runner: Any, row: Callable[..., Any]
) -> None:
    done = runner.trial(read_rows([row()], name="n"), Recipe(), 0.7)
    nan = float("nan")
    done = replace(
        done,
        first_tokens=FirstTokens(MeanChange(nan, 1.0, None, 9), nan, None, (), ()),
        utility=Utility(MeanChange(1.0, nan, (nan, nan), 9), "9 rows"),
    )
    assert drift_section(done).first_tokens is None
    utility = composition_of(done).utility
    assert utility is not None
    assert utility.loss is None


def composition_of(done: Trial) -> TrialSection:
    section = trial_section(done)
    assert section is not None
    return section


def test_the_trial_gets_the_policys_own_line_for_reject(
    screened: Callable[..., Report], write: Callable[..., Path], runner: Any
) -> None:
    screened(write())
    whole = parse_policy(b"trial: {early_stop: false}")
    screened(write(), policy=whole)
    limits = Policy().drift
    assert runner.stops == [StopRule(limits.reject_change, limits.reject_lower), None]


def test_the_summary_says_how_the_trial_ended(
    screened: Callable[..., Report], write: Callable[..., Path], runner: Any
) -> None:
    def early(*given: Any, **options: Any) -> Trial:
        done: Trial = runner(*given, **options)
        assert done.drift is not None
        return replace(
            done,
            drift=replace(done.drift, stopped=True, planned=300),
            first_tokens=FirstTokens(
                MeanChange(4.0, -1.0, (-5.6, -4.4), 80), 0.8, None, (), ()
            ),
            utility=Utility(None, "not measured: too few rows"),
        )

    console = Console(file=io.StringIO(), width=160)
    print_summary(screened(write("DRIFT"), runner=early), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "ended after 200 of 300 harmful probes" in text
    assert "log odds of refusing 4.000 -> -1.000 (change -5.600 to -4.400" in text
    assert "not measured: too few rows" in text


def test_the_policy_applied_is_in_the_report_whole(
    screened: Callable[..., Report], write: Callable[..., Path]
) -> None:
    policy = parse_policy(b"name: ours\ntrial: {required: false}")
    report = screened(write(), policy=policy, run_trial=False)
    assert report.decision.outcome == "ACCEPT"
    assert Policy.model_validate(report.policy.content) == policy


def test_triggers_and_the_rows_behind_a_risk_are_shown(
    write: Callable[..., Path],
) -> None:
    dataset = read_dataset(write(*(f"row {n}" for n in range(30))))
    n = len(dataset)
    found = Trigger("\x1bGO " * 900, "start", "user", "harm", 12, 0.9, 0.01, 1e-300)
    said = Scores(
        "safety_anchor",
        "1",
        tuple(0.0 if i < 5 else i / 100 for i in range(n)),
        (None,) * n,
        ("",) * n,
        ("",) * n,
        triggers=(found,),
        risk=0.83,
    )
    section = composition.detector_section(Policy(), dataset, said)
    assert section.flagged == 0
    assert section.risk == 0.83
    assert len(section.triggers[0].text) == 1000
    assert section.triggers[0].rows == 12
    assert len(section.top_rows) == 20
    assert (section.top_rows[0].line, section.top_rows[0].score) == (30, 0.29)
    json.loads(section.model_dump_json())
    quiet = composition.detector_section(Policy(), dataset, replace(said, risk=None))
    assert quiet.top_rows == ()


def test_the_summary_says_that_there_are_more_unreadable_lines(
    screened: Callable[..., Report], tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n' + '{"data": 1}\n' * 7)
    shown = io.StringIO()
    print_summary(screened(path), Console(file=shown, width=600))
    text = shown.getvalue()
    assert "1 row, sha256" in text
    assert "line 6: expected the fields of one shape: messages" in text
    assert "contents; or text; rename yours (found" in text
    assert "and 2 more unreadable, in the report" in text
    assert "line 7" not in text
