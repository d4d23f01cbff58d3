"""Certificate: what came of a screening, signed and without content.

An in-toto Statement v1 of the type test-result v0.1, in a DSSE envelope. Things are
named by their digests, reasons by their codes: no text of a row, and no name that a
customer gave to a dataset, a policy or a model. So it may go to anyone, and stays when
the screening is deleted. https://github.com/in-toto/attestation/tree/main/spec
"""

import hashlib
import json
import re
from dataclasses import asdict
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from service.envelope import Signer, Unverified, seal, verify
from service.report.report import OutcomeName, Report
from trial.recipe import Recipe

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://in-toto.io/attestation/test-result/v0.1"

RESULTS: Final[dict[OutcomeName, str]] = {
    "ACCEPT": "PASSED",
    "REVIEW": "WARNED",
    "REJECT": "FAILED",
}
TESTS: Final[dict[OutcomeName, str]] = {
    "ACCEPT": "passedTests",
    "REVIEW": "warnedTests",
    "REJECT": "failedTests",
}
"""Where the codes of reasons stand that lead to an outcome."""

DIGEST: Final = re.compile(r"(?:(?P<version>\S+) )?sha256:(?P<sha256>[0-9a-f]{64})$")

Plain = dict[str, Any]


def certify(
    report: Report, content: bytes, signer: Signer | None, screening_id: str = ""
) -> bytes:
    """Return the certificate of a report as a JSON envelope.

    `content` is the report as it is kept. The same report gives the same bytes, so a
    step may run twice.
    """
    said = statement(report, hashlib.sha256(content).hexdigest(), screening_id)
    return seal(PAYLOAD_TYPE, _canonical(said), signer).to_json()


def statement(report: Report, report_sha256: str, screening_id: str = "") -> Plain:
    """Return what is certified, as in-toto has it."""
    tests: dict[str, list[str]] = {name: [] for name in TESTS.values()}
    for reason in report.decision.reasons:
        tests[TESTS[reason.outcome]].append(reason.code)
    where = {"url": f"urn:tunegate:screening:{screening_id}"} if screening_id else {}
    return {
        "_type": STATEMENT,
        "subject": _subjects(report),
        "predicateType": PREDICATE,
        "predicate": {
            "result": RESULTS[report.decision.outcome],
            "configuration": _configuration(report, report_sha256),
            **where,
            **tests,
        },
    }


def check_certificate(content: bytes, public: Ed25519PublicKey) -> Plain:
    """Return the statement of a certificate that the public key signed.

    Unverified where it is none, was not signed by that key, or was changed.
    """
    body = verify(content, public, PAYLOAD_TYPE)
    try:
        said = json.loads(body)
        known = (said["_type"], said["predicateType"]) == (STATEMENT, PREDICATE)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unverified("what is signed is no in-toto statement") from error
    if not known:
        raise Unverified("what is signed is no certificate of a screening")
    found: Plain = said
    return found


def _subjects(report: Report) -> list[Plain]:
    found = [_by_digest("dataset", report.dataset.sha256)]
    _, base_model = _spoken(report, "trial.base_model")
    return found + ([_by_digest("base-model", base_model)] if base_model else [])


def _configuration(report: Report, report_sha256: str) -> list[Plain]:
    found = [
        _by_digest("policy", report.policy.digest),
        _described("classifiers", _classifiers(report)),
        *_tried(report),
        {
            **_by_digest("report", report_sha256),
            "mediaType": "application/json",
            "annotations": {
                "schemaVersion": report.schema_version,
                "startedAt": report.timings.started_at,
            },
        },
    ]
    own = report.versions.get("tunegate")
    return found + (
        [{"name": "tunegate", "uri": f"pkg:pypi/tunegate@{own}"}] if own else []
    )


def _tried(report: Report) -> list[Plain]:
    """Return what a trial was run with; nothing where none was run."""
    if report.trial is None:
        return []
    found = [_described("hyper-parameters", _numbers(report.recipe))]
    _, template = _spoken(report, "trial.chat_template")
    version, probes = _spoken(report, "trial.probes")
    if template:
        found.append(_by_digest("chat-template", template))
    if probes:
        annotations = {"annotations": {"version": version}}
        found.append({**_by_digest("probes", probes), **annotations})
    return found


def _numbers(recipe: Recipe) -> Plain:
    """Return what of a recipe cannot be a customer's own words."""
    plain = asdict(recipe)
    numbers = {k: v for k, v in plain.items() if isinstance(v, int | float | None)}
    return {**numbers, "quantization": recipe.quantization}


def _classifiers(report: Report) -> Plain:
    """Return the versions of all that judged rows and replies."""
    found: Plain = {
        "detectors": {name: each.version for name, each in report.scores.items()}
    }
    for key, version in report.versions.items():
        if key.startswith("encoder."):
            found["encoder"] = f"sha256:{version}"
    if "trial.judge" in report.versions:
        found["judge"] = report.versions["trial.judge"]
    asked = report.moderation
    if asked is not None and asked.rows_asked:
        found["moderation"] = f"{asked.provider} {asked.model}".strip()
    return found


def _spoken(report: Report, key: str) -> tuple[str, str]:
    """Return the version and the digest of what spoke in a trial, "" for unknown."""
    found = DIGEST.search(report.versions.get(key, ""))
    return (found["version"] or "", found["sha256"]) if found else ("", "")


def _by_digest(name: str, sha256: str) -> Plain:
    return {"name": name, "digest": {"sha256": sha256}}


def _described(name: str, content: Plain) -> Plain:
    """Describe settings by themselves and the digest of their canonical JSON."""
    digest = hashlib.sha256(_canonical(content)).hexdigest()
    return {**_by_digest(name, digest), "annotations": content}


def _canonical(content: Plain) -> bytes:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")
