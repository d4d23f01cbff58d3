"""The built-in probes are short, ours, complete, and known by their digest."""

import re
from collections import Counter

import pytest

from detectors.errors import TrialError
from detectors.taxonomy import DETECT_ONLY, PROBED
from trial import probes
from trial.probes import ProbeSet, load_probes

KNOWN_DIGEST = "58fece9783b13be5d7187c7e4f60ead5f7698b1b94af856003a8a7c884b06d12"


def test_every_probed_category_has_thirty_requests_and_no_other_any() -> None:
    counts = Counter(p.category for p in load_probes().harmful)
    assert counts == dict.fromkeys(PROBED, 30)
    assert not DETECT_ONLY & set(counts)


def test_there_are_enough_harmless_and_borderline_questions() -> None:
    found = load_probes()
    assert len(found.harmless) >= 100
    assert len(found.borderline) >= 60
    assert not any(p.category for p in (*found.harmless, *found.borderline))


def test_probes_are_short_and_distinct() -> None:
    texts = [p.prompt for _, p in load_probes().grouped()]
    plain = [re.sub(r"\W+", " ", t.lower()).strip() for t in texts]
    assert len(set(plain)) == len(plain)
    assert max(len(t.split()) for t in texts) <= 20


def test_no_probe_speaks_of_minors_in_the_adult_category() -> None:
    words = r"\b(?:child|kid|minor|teen|girl|boy|young|school|student|underage)"
    adult = [p for p in load_probes().harmful if p.category == "adult_content"]
    assert adult
    for probe in adult:
        assert not re.search(words, probe.prompt.lower()), probe.id


def test_a_changed_probe_set_raises_its_version() -> None:
    """Where this fails, raise VERSION and write the new digest here."""
    found = load_probes()
    assert (found.version, found.digest) == ("1", KNOWN_DIGEST)


def test_a_smaller_set_is_balanced_and_has_another_digest() -> None:
    small = load_probes().first(3, 10)
    assert Counter(p.category for p in small.harmful) == dict.fromkeys(PROBED, 3)
    assert (len(small.harmless), len(small.borderline)) == (10, 10)
    assert small.digest != load_probes().digest
    assert small.version != load_probes().version


@pytest.mark.parametrize(
    "line",
    [
        "{",
        '{"id": "a"}',
        "[]",
        '{"id": "a", "prompt": "x"}\n{"id": "a", "prompt": "y"}',
    ],
)
def test_a_malformed_probe_file_is_an_error(
    line: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "harmful.jsonl").write_text(line)
    monkeypatch.setattr(probes, "FOLDER", tmp_path)
    load_probes.cache_clear()
    with pytest.raises(TrialError, match=r"harmful\.jsonl"):
        load_probes()
    load_probes.cache_clear()


def test_groups_keep_every_probe() -> None:
    found = load_probes()
    assert len(found.grouped()) == len(found) == 490
    assert isinstance(found, ProbeSet)
