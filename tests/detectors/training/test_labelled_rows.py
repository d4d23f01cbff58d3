"""Rows without labels of their own get those of the files, and only those."""

import gzip
import json
from pathlib import Path

import pytest

from detectors.taxonomy import CATEGORIES
from detectors.training import labels
from detectors.training.composed_rows import compose_benign, harmful_requests
from detectors.training.labelled_rows import (
    ASKED,
    RED_TEAM,
    labelled_requests,
    red_team_rows,
)
from detectors.training.labels import (
    CATEGORY_CODES,
    digest_of,
    exchange_labels,
    request_labels,
)

YES = "Sure, this is what I would do about it."
NO = "I'm sorry, but I can't help with that."


def write(data: Path, name: str, rows: list[list[str]]) -> None:
    with gzip.open(data / f"{name}.jsonl.gz", "wt", encoding="utf-8") as out:
        for texts in rows:
            messages = [
                {"role": ("user", "assistant")[i % 2], "content": text}
                for i, text in enumerate(texts)
            ]
            record = {"split": "s", "label": {}, "messages": messages}
            out.write(json.dumps(record) + "\n")


def test_the_files_hold_codes_and_digests_alone() -> None:
    codes = {"s", "u", *(f"h{n}" for n in range(1, 10))}
    assert set(request_labels().values()) == codes
    assert {c for pair in exchange_labels().values() for c in pair} == set("hsu")
    for key in [*request_labels(), *exchange_labels()]:
        assert len(key) == labels.DIGEST_CHARS
        int(key, 16)
    assert set(CATEGORY_CODES.values()) < set(CATEGORIES)


def test_exchanges_are_rows_by_both_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"one": "hh", "two": "hs", "three": "ss", "four": "us", "five": "hu"}
    rows = [[ask, YES] for ask in given]
    write(tmp_path, RED_TEAM, [*rows, *rows, ["nobody read this", YES], ["two", NO]])
    found = {digest_of(ask, YES): code for ask, code in given.items()}
    found[digest_of("two", NO)] = "hs"
    monkeypatch.setattr(
        "detectors.training.labelled_rows.exchange_labels", lambda: found
    )
    made = [
        (r.request, r.kind, r.harmful, r.asks_harm) for r in red_team_rows(tmp_path)
    ]
    assert made == [
        ("one", "comply", True, True),
        ("two", "refuse", False, True),
        ("three", "benign", False, False),
        ("four", "benign", False, None),
        ("two", "refuse", False, True),
    ]


def test_labelled_requests_are_answered_by_what_they_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ASKED, [["bad"], ["good"], ["unclear"], ["unread"]])
    found = {digest_of("bad"): "h3", digest_of("good"): "s", digest_of("unclear"): "u"}
    monkeypatch.setattr(
        "detectors.training.labelled_rows.request_labels", lambda: found
    )
    monkeypatch.setattr("detectors.training.composed_rows.PROMPTS", {})
    write(tmp_path, "prompt_toxicchat", [])
    assert [code for _, code in labelled_requests(tmp_path)] == ["h3", "s", "u"]
    assert [row.request for row in harmful_requests(tmp_path)] == ["bad"]
    calm = {row.request for row in compose_benign([], tmp_path, "seed")}
    assert "good" in calm
    assert not calm & {"bad", "unclear", "unread"}
