import json
import math
from pathlib import Path

import pytest
import yaml

from detectors.errors import PolicyError
from detectors.head import HEADS
from service.policy import (
    DEFAULT_PATH,
    MAX_POLICY_BYTES,
    DetectorLimits,
    Limits,
    Policy,
    check_policy,
    load_policy,
    parse_policy,
)

WITHOUT_HEAD = ("backdoor_trigger",)


def names(model: type[Limits], place: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Limits):
            found |= names(field.annotation, f"{place}{name}.")
        else:
            found.add(f"{place}{name}")
    return found


def written(content: dict[str, object], place: str = "") -> set[str]:
    found = set()
    for name, value in content.items():
        if isinstance(value, dict):
            found |= written(value, f"{place}{name}.")
        else:
            found.add(f"{place}{name}")
    return found


def test_the_committed_default_file_spells_out_every_default() -> None:
    assert load_policy(DEFAULT_PATH) == Policy()
    content = yaml.safe_load(DEFAULT_PATH.read_text("utf-8"))
    assert written(content) == names(Policy)


def test_every_threshold_says_what_it_is_for() -> None:
    def every(model: type[Limits]) -> None:
        for name, field in model.model_fields.items():
            assert field.description, name
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, Limits):
                every(kind)

    every(Policy)


def test_keys_left_out_keep_their_defaults() -> None:
    policy = parse_policy(b"detectors: {explicit_harm: {row_threshold: 0.7}}")
    assert policy.rows("explicit_harm").row_threshold == 0.7
    assert policy.rows("explicit_harm").reject_rows == 5
    assert policy.rows("identity_shift") == Policy().rows("identity_shift")


def test_a_group_given_in_part_keeps_the_rest_of_that_very_group() -> None:
    policy = parse_policy(b"detectors: {explicit_harm: {reject_rows: 7}}")
    kept = Policy().rows("explicit_harm").row_threshold
    assert policy.rows("explicit_harm").row_threshold == kept


@pytest.mark.parametrize("content", [b"drift: 3", b"drift:", b"detectors: [1]"])
def test_a_group_that_is_no_mapping_is_an_error(content: bytes) -> None:
    with pytest.raises(PolicyError, match=r"drift|detectors"):
        parse_policy(content)


@pytest.mark.parametrize(
    "detector", [n for n in DetectorLimits.model_fields if n not in WITHOUT_HEAD]
)
def test_the_default_threshold_is_the_one_its_head_suggests(detector: str) -> None:
    record = json.loads((HEADS / f"{detector}.json").read_text("utf-8"))
    threshold = Policy().rows(detector).row_threshold
    assert threshold == pytest.approx(record["suggested_threshold"], abs=0.01), (
        "set it in service/policy.py and service/policies/default.yaml"
    )


def test_json_is_read_as_well() -> None:
    assert not parse_policy(b'{"trial": {"required": false}}').trial.required


NAME = "strict \U0001f600"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("before", ["", "\n\t "])
def test_json_is_read_as_json(encoding: str, before: str) -> None:
    given = {"name": NAME, "drift": {"reject_lower": 0.00001}}
    text = before + json.dumps(given, indent="\t")
    assert "1e-05" in text
    policy = parse_policy(text.encode(encoding))
    assert (policy.name, policy.drift.reject_lower) == (NAME, 0.00001)


def test_yaml_may_begin_as_json_does() -> None:
    policy = parse_policy(b"{trial: {required: false}, drift: {reject_lower: 0.05}}")
    assert (policy.trial.required, policy.drift.reject_lower) == (False, 0.05)


def test_a_policy_given_as_an_object_is_as_small_as_one_in_a_file() -> None:
    assert check_policy({"drift": {"reject_lower": 0.00001}}).drift.reject_lower < 0.1
    longest = "x" * (MAX_POLICY_BYTES - len('{"x": ""}'))
    with pytest.raises(PolicyError, match="unknown key 'x'"):
        check_policy({"x": longest})
    with pytest.raises(PolicyError, match="policy: larger than 65536 bytes"):
        check_policy({"x": longest + "x"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"drift: {reject_chnge: 0.1}",
            "unknown key 'drift.reject_chnge'",
        ),
        (b"detectors: {explicit_harm: {x: 1}}", "allowed: row_threshold, sure_score"),
        (b"threshold: 1", "unknown key 'threshold'; allowed: name, detectors, drift"),
        (b"drift: {reject_change: 1.5}", "drift.reject_change: Input should be less"),
        (b"drift: {reject_change: .nan}", "drift.reject_change"),
        (b"drift: {reject_change: '0.5'}", "drift.reject_change"),
        (b"detectors: {explicit_harm: {reject_rows: 0}}", "greater than or equal to 1"),
        (b"detectors: {explicit_harm: {sure_score: 0.1}}", "sure_score must not"),
        (b"drift: {review_change: 0.9}", "review_change must not exceed"),
        (b"detectors: {identity_shift: {review_rows: 9}}", "review_rows must not"),
        (b"drift: {must_detect: 0.1, must_detect: 0.9}", "'must_detect' appears twice"),
        (b"a: &x 1\nb: *x", "aliases are not allowed"),
        (b"- 1", "expected a mapping with name, detectors"),
        (b"", "expected a mapping"),
        (b"{", "not valid JSON: Expecting property name"),
        (b'{\n "drift": {},\n "name" 3}', "delimiter: line 3 column 9"),
        (b'{"name": "a", "name": "b"}', "key 'name' appears twice"),
        (b"{name: a, name: b}", "key 'name' appears twice"),
        (b'{"a":' * 10_000, "nested too deeply"),
        (b'{"drift": {"must_detect": NaN}}', "drift.must_detect"),
        (b'{"name": "\\ud83d"}', "name: "),
        (b'{"seed": 1' + b"0" * 5_000 + b"}", "not valid"),
        (b"\xff\xfe\xfd", "not valid YAML"),
        (b"!!python/object/apply:os.system ['true']", "not valid YAML"),
        (b"[" * 30_000, "nested too deeply"),
        (b" " * (MAX_POLICY_BYTES + 1), "larger than"),
    ],
)
def test_a_wrong_policy_is_named_with_what_is_allowed(
    content: bytes, said: str
) -> None:
    with pytest.raises(PolicyError) as error:
        parse_policy(content, source="ours.yaml")
    assert said in str(error.value)
    assert str(error.value).startswith("ours.yaml: ")


def test_a_policy_file_that_is_missing_is_a_policy_error(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path / "none.yaml")


def test_a_detector_without_limits_is_a_policy_error() -> None:
    with pytest.raises(PolicyError, match="no limits for the detector 'astrology'"):
        Policy().rows("astrology")


def test_the_digest_follows_the_content_alone() -> None:
    same = parse_policy(DEFAULT_PATH.read_bytes())
    other = parse_policy(b"drift: {reject_change: 0.26}")
    assert same.digest == Policy().digest
    assert other.digest != same.digest
    assert math.log2(len(other.digest)) == 6
