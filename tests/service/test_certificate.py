import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from detectors.reader import read_dataset
from service.certificate import PAYLOAD_TYPE, certify, check_certificate, statement
from service.envelope import Signer, Unverified, seal
from service.models import Models
from service.policy import Policy, parse_policy
from service.reason import REASONS
from service.report.report import Report
from service.screening import screen
from trial.recipe import QUANTIZATIONS, Recipe

SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(32)))
BASE, TEMPLATE, PROBES = "b" * 64, "c" * 64, "d" * 64
VERSIONS = {
    "base_model": f"Secretmodel@secretrevision sha256:{BASE}",
    "chat_template": f"sha256:{TEMPLATE}",
    "probes": f"7 sha256:{PROBES}",
    "judge": "phrase phrase-1",
    "notes": "secretnotes",
}
Run = Callable[..., Report]


@pytest.fixture
def screened(models: Models, runner: Any, write: Callable[..., Path]) -> Run:
    """Return a function that screens a file whose rows and names are secrets."""

    def run(*said: str, versions: dict[str, str] = VERSIONS, **given: Any) -> Report:
        def tried(*parts: Any, **named: Any) -> Any:
            return replace(runner(*parts, **named), versions=versions)

        rows = [f"Secretrow {text}" for text in said]
        chosen = {
            "policy": parse_policy(b"name: Secretpolicy"),
            "recipe": Recipe(
                base_model="Secretmodel",
                revision="secretrevision",
                targets=("secrettarget",),
                chat_template="secrettemplate",
                epochs=3,
            ),
            "runner": tried,
            **given,
        }
        return screen(
            read_dataset(write(*rows, name="Secretname.jsonl")),
            detectors=models.detectors,
            encoder=models.encoder,
            **chosen,
        )

    return run


def named(said: dict[str, Any], name: str) -> dict[str, Any]:
    configuration = said["predicate"]["configuration"]
    return next((each for each in configuration if each["name"] == name), {})


def canonical(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_certificate_is_an_in_toto_test_result(screened: Run) -> None:
    report = screened("BAD", "DRIFT")
    content = report.to_json().encode()
    made = certify(report, content, SIGNER, "scr_1")
    assert json.loads(made)["payloadType"] == "application/vnd.in-toto+json"
    said = check_certificate(made, SIGNER.public)
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    predicate_type = "https://in-toto.io/attestation/test-result/v0.1"
    assert said["predicateType"] == predicate_type
    assert said["subject"] == [
        {"name": "dataset", "digest": {"sha256": report.dataset.sha256}},
        {"name": "base-model", "digest": {"sha256": BASE}},
    ]
    assert said["predicate"]["result"] == "FAILED"
    assert said["predicate"]["url"] == "urn:tunegate:screening:scr_1"
    kept = named(said, "report")
    assert kept["digest"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert kept["annotations"]["schemaVersion"] == report.schema_version
    assert kept["annotations"]["startedAt"] == report.timings.started_at
    assert named(said, "policy")["digest"]["sha256"] == report.policy.digest
    assert named(said, "chat-template")["digest"]["sha256"] == TEMPLATE
    probes = named(said, "probes")
    assert probes["digest"]["sha256"] == PROBES
    assert probes["annotations"] == {"version": "7"}
    classifiers = named(said, "classifiers")["annotations"]
    assert classifiers["detectors"]["explicit_harm"] == "fake-1"
    assert classifiers["encoder"] == f"sha256:{'e' * 64}"
    assert classifiers["judge"] == "phrase phrase-1"
    assert named(said, "tunegate")["uri"].startswith("pkg:pypi/tunegate@")


def test_every_descriptor_is_as_in_toto_demands(screened: Run) -> None:
    said = statement(screened(), "a" * 64)
    assert all(each["digest"] for each in said["subject"])
    for each in said["predicate"]["configuration"]:
        assert {"uri", "digest", "content"} & set(each)
        assert set(each) <= {"name", "uri", "digest", "mediaType", "annotations"}
    names = [each["name"] for each in said["predicate"]["configuration"]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("said", "result", "tests"),
    [
        ((), "PASSED", "passedTests"),
        (("ODD",) * 3, "WARNED", "warnedTests"),
        (("DRIFT",), "FAILED", "failedTests"),
    ],
)
def test_outcomes_are_results_and_reasons_are_codes(
    screened: Run, said: tuple[str, ...], result: str, tests: str
) -> None:
    report = screened(*said)
    predicate = statement(report, "a" * 64)["predicate"]
    assert predicate["result"] == result
    assert predicate[tests]
    every = [
        code
        for name in ("passedTests", "warnedTests", "failedTests")
        for code in predicate[name]
    ]
    assert sorted(every) == sorted(each.code for each in report.decision.reasons)
    assert set(every) <= set(REASONS)


def test_hyper_parameters_are_numbers_with_the_digest_of_their_canonical_json(
    screened: Run,
) -> None:
    found = named(statement(screened(), "a" * 64), "hyper-parameters")
    said = found["annotations"]
    assert (said["epochs"], said["batch_size"]) == (3, None)
    assert found["digest"]["sha256"] == canonical(said)
    assert said.pop("quantization") in QUANTIZATIONS
    assert all(isinstance(each, int | float | None) for each in said.values())


def test_without_a_trial_nothing_is_said_of_what_it_would_have_run(
    screened: Run,
) -> None:
    said = statement(screened(run_trial=False), "a" * 64)
    assert [each["name"] for each in said["subject"]] == ["dataset"]
    for name in ("hyper-parameters", "probes", "chat-template"):
        assert named(said, name) == {}
    assert "trial_skipped" in said["predicate"]["warnedTests"]
    assert "url" not in said["predicate"]


def test_a_base_model_without_a_digest_is_no_subject(screened: Run) -> None:
    said = statement(screened(versions={"base_model": "fake-base"}), "a" * 64)
    assert [each["name"] for each in said["subject"]] == ["dataset"]


def test_no_word_of_a_row_a_dataset_a_policy_or_a_model_is_in_it(
    screened: Run,
) -> None:
    report = screened("BAD", "PERSONA", "ODD", "DRIFT")
    text = report.to_json()
    for word in ("secretrow", "secretname", "secretpolicy", "secretmodel"):
        assert word in text.lower()
    payload = json.loads(certify(report, text.encode(), None))["payload"]
    said = base64.b64decode(payload).decode().lower()
    assert "secret" not in said
    for reason in report.decision.reasons:
        assert reason.message.lower() not in said


def test_the_same_report_gives_the_same_bytes(screened: Run) -> None:
    report = screened("BAD")
    content = report.to_json().encode()
    again = Report.model_validate_json(content)
    first, second = (certify(each, content, SIGNER) for each in (report, again))
    assert first == second


def test_without_a_key_a_certificate_is_whole_but_proves_nothing(
    screened: Run,
) -> None:
    made = certify(screened(policy=Policy()), b"", None)
    assert json.loads(made)["signatures"] == []
    with pytest.raises(Unverified, match="not signed"):
        check_certificate(made, SIGNER.public)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"_type": "a", "predicateType": "b"}', b"\xff"]
)
def test_what_the_key_signed_for_another_end_is_no_certificate(body: bytes) -> None:
    made = seal(PAYLOAD_TYPE, body, SIGNER).to_json()
    with pytest.raises(Unverified, match="what is signed"):
        check_certificate(made, SIGNER.public)
