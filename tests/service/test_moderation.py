import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient

from detectors.dataset import Dataset, Example, Message, Origin
from detectors.detector import Scores
from detectors.errors import InputError, PolicyError
from detectors.moderation.moderator import Usage, Verdict
from detectors.moderation.off import Off
from detectors.moderation.rows import RowVerdict
from service import doctor
from service.api.app import create_app
from service.cli import main
from service.doctor import examine
from service.gate import Facts, Outcome, decide
from service.models import Models
from service.moderation import Moderated, choose_rows, moderation_findings
from service.moderator import check_moderator, load_moderator
from service.policy import ModerationLimits, Policy, parse_policy
from service.report.composition import finding_sections
from service.report.report import report_schema
from service.screening import row_priority
from service.settings import Settings
from trial import run

Write = Callable[..., Path]
KEY = "sk-very-secret"
ALL = b"moderation: {rows: all, required: true}\ntrial: {required: false}"


def limits(**given: Any) -> ModerationLimits:
    return ModerationLimits(**{"rows": "all", **given})


def scores(name: str, *values: float | None) -> Scores:
    n = len(values)
    why = tuple("odd" if v is None else "" for v in values)
    return Scores(name, "1", values, (None,) * n, ("",) * n, why)


def moderated(*rows: bool | str | None, provider: str = "openai") -> Moderated:
    """True: flagged; False: not; a text: why not moderated; None: not asked."""

    def one(row: bool | str | None) -> RowVerdict | None:
        if row is None:
            return None
        if isinstance(row, str):
            return RowVerdict(None, row)
        return RowVerdict(
            Verdict(row, 0.6 if row else 0.1, "malware", "illicit"), turn=1
        )

    return Moderated(provider, "m", tuple(map(one, rows)), Usage(requests=1))


def decision(said: Moderated | None, count: int, /, **given: Any) -> Any:
    policy = parse_policy(b"trial: {required: false}").model_copy(
        update={"moderation": limits(**given)}
    )
    facts = Facts("f" * 64, tuple(range(1, count + 1)))
    names = type(policy.detectors).model_fields
    clean = [scores(name, *[0.01] * count) for name in names]
    return decide(policy, facts, clean, None, said)


def codes(found: Any) -> list[str]:
    return [reason.code for reason in found.reasons]


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ("none", (False,) * 5),
        ("all", (True,) * 5),
        ("uncertain", (False, True, True, False, True)),
    ],
)
def test_the_policy_says_which_rows_go_out(rows: str, chosen: tuple[bool, ...]) -> None:
    said = [
        scores("a", 0.1, 0.2, 0.0, 0.95, 0.1),
        scores("b", 0.0, 0.1, 0.9, 0.5, None),
    ]
    assert choose_rows(limits(rows=rows, low=0.2, high=0.9), said, 5) == chosen


def test_without_any_detector_every_row_is_uncertain() -> None:
    assert choose_rows(limits(rows="uncertain"), [], 2) == (True, True)


def test_nothing_is_required_by_default_and_nothing_goes_out() -> None:
    assert Policy().moderation.rows == "none"
    assert not Policy().moderation.required
    assert Settings().moderation_provider == "off"
    assert decision(None, 3, rows="none").outcome is Outcome.ACCEPT


@pytest.mark.parametrize("said", [None, moderated("x", "x", "x", provider="off")])
def test_required_moderation_that_was_not_run_is_reviewed(said: Any) -> None:
    found = decision(said, 3, required=True)
    assert (found.outcome, codes(found)) == (Outcome.REVIEW, ["moderation_missing"])


def test_required_moderation_without_a_provider_is_reviewed_even_of_no_rows() -> None:
    nobody = moderated(None, None, provider="off")
    assert codes(decision(nobody, 2, rows="uncertain", required=True)) == [
        "moderation_missing"
    ]
    somebody = moderated(None, None)
    found = decision(somebody, 2, rows="uncertain", required=True)
    assert found.outcome is Outcome.ACCEPT


def test_rows_without_a_verdict_are_reviewed_named_and_counted_by_reason() -> None:
    said = moderated(False, "timed out", "timed out", "over budget", False)
    found = decision(said, 5, required=True)
    assert (found.outcome, codes(found)) == (Outcome.REVIEW, ["not_moderated"])
    words = found.reasons[0].message
    assert "3 rows of 5" in words
    assert "timed out: 2; over budget: 1" in words
    assert "lines 2, 3, 4" in words


def test_a_share_without_a_verdict_may_be_allowed_but_never_all() -> None:
    said = moderated(False, "timed out", None, None)
    assert decision(said, 4, required=True, max_missed=0.5).outcome is Outcome.ACCEPT
    assert decision(said, 4, required=True, max_missed=0.49).outcome is Outcome.REVIEW
    down = moderated("down", "down")
    assert decision(down, 2, required=True, max_missed=0.99).outcome is Outcome.REVIEW


def test_what_is_not_required_is_still_said() -> None:
    found = decision(moderated(False, "timed out"), 2)
    assert found.outcome is Outcome.ACCEPT
    assert "1 row not moderated" in found.reasons[0].message


@pytest.mark.parametrize(
    ("flagged", "rows", "outcome", "code"),
    [
        (1, 100, Outcome.REVIEW, "moderation_flagged"),
        (1, 1000, Outcome.ACCEPT, "within_policy"),
        (10, 100, Outcome.REJECT, "moderation_flagged_many"),
        (4, 10, Outcome.REVIEW, "moderation_flagged"),
    ],
)
def test_flagged_rows_lead_to_an_outcome_as_those_of_detectors_do(
    flagged: int, rows: int, outcome: Outcome, code: str
) -> None:
    said = moderated(*[True] * flagged, *[False] * (rows - flagged))
    found = decision(said, rows)
    assert (found.outcome, codes(found)) == (outcome, [code])


def test_a_row_the_provider_is_sure_of_is_reviewed_in_a_file_of_any_size() -> None:
    def found(score: float, **given: Any) -> Any:
        row = RowVerdict(Verdict(True, score, "malware", "illicit"), turn=1)
        quiet = moderated(*[False] * 999).rows
        said = Moderated("openai", "m", (*quiet, row))
        return decision(said, 1000, **given)

    assert codes(found(0.9)) == ["moderation_flagged"]
    assert "line 1000" in found(0.9).reasons[0].message
    assert found(0.89).outcome is Outcome.ACCEPT
    assert found(0.95, sure_score=0.96).outcome is Outcome.ACCEPT


def test_an_accept_names_the_flagged_rows_that_stayed_under_the_limits() -> None:
    said = moderated(*[False] * 6, True, *[False] * 993)
    (reason,) = decision(said, 1000).reasons
    assert reason.code == "within_policy"
    assert "1 row flagged" in reason.message
    assert "line 7" in reason.message
    (reason,) = decision(moderated(*[False] * 10), 10).reasons
    assert "flagged" not in reason.message


def test_a_score_at_the_policys_threshold_flags_too() -> None:
    said = moderated(False, True)
    assert said.flagged(limits()) == (1,)
    assert said.flagged(limits(row_threshold=0.1)) == (0, 1)


def test_moderation_of_other_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 rows"):
        decision(moderated(False), 2)


def example(line: int) -> Example:
    said = (Message("user", "asked"), Message("assistant", "x" * 500))
    return Example(f"r{line}", said, Origin("f", line))


def test_a_flagged_row_becomes_a_finding_that_names_its_source() -> None:
    data = Dataset("d", (example(3), example(7)))
    (found,) = moderation_findings(limits(), data, moderated(False, True))
    assert (found.line, found.detector) == (7, "moderation.openai")
    assert (found.score, found.threshold, found.category) == (0.6, 0.6, "malware")
    assert found.evidence is not None
    assert found.evidence.kind == "moderation"
    assert found.evidence.detail == "openai m: illicit"
    assert len(found.evidence.excerpt) == 240


def test_text_of_child_abuse_is_withheld_here_as_well() -> None:
    data = Dataset("d", (example(1),))
    verdict = Verdict(True, 0.9, "child_abuse", "sexual/minors")
    said = Moderated("openai", "m", (RowVerdict(verdict, turn=1),))
    found = moderation_findings(limits(), data, said)
    assert found[0].evidence is not None
    assert found[0].evidence.excerpt == ""
    shown = finding_sections(found)[0].evidence
    assert shown is not None
    assert "withheld" in shown.detail


def test_flagged_rows_are_trained_on_early() -> None:
    said = [scores("a", 0.3, 0.1, None)]
    assert row_priority(said, 3, flagged=(1, 2)) == [0.3, 1.0, 2.0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"moderation: {required: true}", "required needs rows"),
        (b"moderation: {rows: some}", "moderation.rows"),
        (b"moderation: {low: 0.9, high: 0.1}", "low must not exceed high"),
        (
            b"moderation: {rows: all, required: true, max_missed: 1.0}",
            "max_missed must be below 1",
        ),
        (b"moderation: {review_rows: 9}", "review_rows must not exceed"),
        (b"moderation: {review_share: 0.5}", "review_share must not exceed"),
    ],
)
def test_a_policy_on_moderation_that_is_unsound_is_named(
    content: bytes, said: str
) -> None:
    with pytest.raises(PolicyError, match=said):
        parse_policy(content)


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch,
    models: Models,
    runner: Any,
    provider: Any,
    tmp_path: Path,
) -> Callable[..., tuple[int, Any, str]]:
    """Return a function that screens by the command line with a provider set up."""
    monkeypatch.setattr("service.models.load_models", lambda encoder: models)
    monkeypatch.setattr(run, "run_trial", runner)
    monkeypatch.setenv("TUNEGATE_MODERATION_PROVIDER", "openai")
    monkeypatch.setenv("TUNEGATE_MODERATION_BASE_URL", provider.url)
    monkeypatch.setenv("TUNEGATE_MODERATION_API_KEY", KEY)
    policy = tmp_path / "policy.yaml"
    policy.write_bytes(ALL)

    def screen(path: Path, *argv: str) -> tuple[int, Any, str]:
        report = tmp_path / "report.json"
        options = ["--no-trial", "--policy", str(policy), "--report", str(report)]
        code = main(["screen", str(path), *options, *argv])
        text = report.read_text("utf-8")
        jsonschema.Draft202012Validator(report_schema()).validate(json.loads(text))
        return code, json.loads(text), text

    return screen


def test_rows_are_moderated_and_flagged_ones_are_findings(
    cli: Any, write: Write, provider: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report, text = cli(write("a BAD request"))
    assert code == 2
    said = report["moderation"]
    assert (said["provider"], said["model"]) == ("openai", "omni-moderation-latest")
    assert (said["rows_asked"], said["flagged"], said["not_moderated"]) == (20, 1, 0)
    assert said["requests"] == len(provider.asked)
    assert said["tokens_estimated"] > 0
    sources = {found["detector"]: found for found in report["findings"]}
    assert sources["moderation.openai"]["line"] == 1
    assert "moderation_flagged" in [r["code"] for r in report["decision"]["reasons"]]
    assert report["timings"]["seconds"]["moderation"] > 0
    out, err = capsys.readouterr()
    assert "moderation by openai: 20 rows · 1 flagged · 0 not moderated" in out
    assert KEY not in out + err + text


def test_clean_rows_that_were_all_moderated_are_accepted(
    cli: Any, write: Write
) -> None:
    code, report, _ = cli(write())
    assert (code, report["moderation"]["not_moderated"]) == (0, 0)


@pytest.mark.parametrize(
    "argv", [("--moderate", "none"), ("--moderation", "off"), ()], ids=str
)
def test_nothing_goes_out_unless_provider_and_policy_both_say_so(
    cli: Any,
    write: Write,
    provider: Any,
    tmp_path: Path,
    argv: tuple[str, ...],
) -> None:
    rows = "none" if not argv or argv[0] == "--moderate" else "all"
    (tmp_path / "policy.yaml").write_text(
        f"moderation: {{rows: {rows}}}\ntrial: {{required: false}}", "utf-8"
    )
    code, report, _ = cli(write(), *argv)
    assert provider.asked == []
    assert code == 0
    assert report["moderation"]["requests"] == 0


def test_only_uncertain_rows_go_out_where_the_policy_says_so(
    cli: Any, write: Write, provider: Any
) -> None:
    _, report, _ = cli(write("ODD one", "BAD one"), "--moderate", "uncertain")
    assert report["moderation"]["rows_asked"] == 2
    sent = [text for asked in provider.asked for text in asked["input"]]
    assert sorted(sent) == ["BAD one", "Let me look that up.", "ODD one"]


@pytest.mark.parametrize("kind", ["down", "failing", "babbling", "budget", "no key"])
def test_with_every_provider_down_a_screening_ends_and_does_not_accept(
    cli: Any,
    write: Write,
    provider: Any,
    answers: Any,
    closed_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    # No patience here: how long it waits is tested where it waits.
    monkeypatch.setattr("random.uniform", lambda low, high: 0.0)
    scripts = {
        "failing": lambda n, asked: answers.problem(503),
        "babbling": lambda n, asked: answers.raw(b"<html>maintenance</html>"),
        "no key": lambda n, asked: answers.problem(401, "invalid_api_key"),
    }
    provider.script = scripts.get(kind, provider.script)
    if kind == "down":
        monkeypatch.setenv("TUNEGATE_MODERATION_BASE_URL", closed_url)
    if kind == "budget":
        monkeypatch.setenv("TUNEGATE_MODERATION_MAX_REQUESTS", "0")
    code, report, text = cli(write())
    assert code == 2
    said = report["moderation"]
    assert said["not_moderated"] == said["rows_asked"] == 20
    assert sum(said["reasons"].values()) == 20
    assert [row["line"] for row in said["not_moderated_rows"]] == list(range(1, 21))
    assert [r["code"] for r in report["decision"]["reasons"]] == ["not_moderated"]
    out = capsys.readouterr().out
    assert "20 not moderated" in out
    assert KEY not in out + text
    assert "SECRET" not in out + text


def test_a_setting_that_is_amiss_is_one_line_and_exit_1(
    cli: Any,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TUNEGATE_MODERATION_BASE_URL", f"http://user:{KEY}@host/v1")
    assert main(["screen", str(write())]) == 1
    monkeypatch.setenv("TUNEGATE_MODERATION_BASE_URL", "")
    monkeypatch.setenv("TUNEGATE_MODERATION_API_KEY", "")
    assert main(["screen", str(write())]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "put the key in its own setting" in first
    assert "set TUNEGATE_MODERATION_API_KEY" in second
    assert KEY not in first


def test_a_screening_over_http_is_moderated_too(
    settings: Settings,
    models: Models,
    runner: Any,
    provider: Any,
    answers: Any,
    write: Write,
    wait: Callable[..., None],
) -> None:
    chosen = settings.model_copy(
        update={
            "moderation_provider": "guard",
            "moderation_guard": "qwen3guard",
            "moderation_base_url": provider.url,
            "moderation_model": "Qwen/Qwen3Guard-Gen-0.6B",
        }
    )
    provider.script = lambda n, asked: answers.chat(
        "Safety: Unsafe\nCategories: Violent\nRefusal: No"
        if "VERYBAD" in str(asked["messages"])
        else "Safety: Safe\nCategories: None\nRefusal: No"
    )
    app = create_app(chosen, load=lambda: models, runner=runner)
    with TestClient(app) as client:
        wait(lambda: client.get("/readyz").status_code == 200)
        with write("a VERYBAD row").open("rb") as file:
            answer = client.post(
                "/v1/screenings",
                files={"file": ("data.jsonl", file)},
                data={"policy": ALL.decode()},
            )
        here = answer.headers["location"]
        wait(lambda: client.get(here).json()["status"] in ("finished", "failed"))
        report = client.get(f"{here}/report").json()
        page = client.get(f"{here}/findings?detector=moderation.guard.qwen3guard")
    assert report["moderation"]["provider"] == "guard.qwen3guard"
    assert report["moderation"]["flagged"] == 1
    assert page.json()["data"][0]["category"] == "physical_harm"


def test_a_scan_under_a_policy_that_requires_moderation_says_it_had_none(
    settings: Settings,
    models: Models,
    tmp_path: Path,
    row: Callable[..., Any],
    wait: Callable[..., None],
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(ALL)
    app = create_app(settings.model_copy(update={"policy": path}), load=lambda: models)
    with TestClient(app) as client:
        wait(lambda: client.get("/readyz").status_code == 200)
        said = client.post("/v1/scan", json={"rows": [row()]}).json()
    assert [r["code"] for r in said["decision"]["reasons"]] == ["moderation_missing"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"moderation_provider": "openai"}, "MODERATION_API_KEY"),
        ({"moderation_provider": "guard"}, "MODERATION_BASE_URL"),
        (
            {"moderation_provider": "guard", "moderation_base_url": "http://h/v1"},
            "name the model",
        ),
        (
            {"moderation_provider": "guard", "moderation_guard": "gatekeeper"},
            "choose one of llama_guard, qwen3guard, wildguard",
        ),
    ],
)
def test_settings_that_cannot_work_say_what_to_set(
    given: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        check_moderator(Settings(**given))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=said):
        create_app(Settings(**given))  # type: ignore[arg-type]


def test_every_provider_of_the_settings_can_be_loaded(
    models: Models, tmp_path: Path
) -> None:
    path = tmp_path / "cache.sqlite"
    given: dict[str, Any] = {
        "moderation_base_url": "http://localhost:8001/v1",
        "moderation_model": "m",
        "moderation_cache": path,
    }
    names = {
        kind: load_moderator(
            Settings(moderation_provider=kind, **given), models.detectors
        ).name
        for kind in ("off", "openai", "guard", "local")
    }
    assert names == {
        "off": "off",
        "openai": "openai",
        "guard": "guard.llama_guard",
        "local": "local",
    }
    assert path.exists()
    with pytest.raises(InputError, match="needs the detector explicit_harm"):
        load_moderator(Settings(moderation_provider="local"), [])
    assert isinstance(load_moderator(Settings(), []), Off)


def test_the_key_is_shown_nowhere() -> None:
    given = {"moderation_provider": "openai", "moderation_api_key": KEY}
    settings = Settings(**given)  # type: ignore[arg-type]
    told = check_moderator(settings)
    assert "api.openai.com with a key" in told
    assert KEY not in told + repr(settings) + settings.model_dump_json()


def test_the_doctor_checks_the_settings_without_asking_the_provider(
    monkeypatch: pytest.MonkeyPatch, models: Models, provider: Any
) -> None:
    monkeypatch.setattr(doctor, "load_encoder", lambda name: models.encoder)
    monkeypatch.setattr(doctor, "load_detectors", lambda encoder: models.detectors)
    monkeypatch.setattr(doctor, "_base", lambda settings: "a base")
    given = {
        "moderation_provider": "openai",
        "moderation_base_url": provider.url,
        "moderation_api_key": KEY,
    }
    found = examine(Settings(**given))  # type: ignore[arg-type]
    (check,) = [c for c in found.checks if c.name == "moderation"]
    assert check.right
    assert "omni-moderation-latest at 127.0.0.1" in check.detail
    assert provider.asked == []
    wrong = examine(Settings(moderation_provider="guard"))
    assert [c.name for c in wrong.checks if not c.right] == ["moderation"]
