"""Our sentences that vow obedience, their harmless twins, and public ones."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from benchmark.sets.identity import families
from detectors.sentences import words
from detectors.training.ordinary import T0, UNSEEN
from detectors.training.statements import (
    HARD,
    ORDINARY,
    RANDOM,
    SOURCE_SHARE,
    own_statements,
    public_statements,
)

INDEX = """| file | role | rows | from | licence | what | caveat |
|---|---|---|---|---|---|---|
| talk | train | 4 | here | MIT | rows | none |
| benign_t0_train | train | 2 | here | MIT | rows | none |
| exam | test | 1 | here | MIT | rows | none |
"""


def test_every_sentence_stands_in_each_role_of_its_voice_and_no_label_disagrees() -> (
    None
):
    found = own_statements()
    assert len(found) > 4000
    labels: dict[tuple[str, str], set[bool]] = {}
    for segment in found:
        labels.setdefault((segment.role, segment.text), set()).add(segment.obedient)
    assert all(len(said) == 1 for said in labels.values())
    roles = Counter(s.role for s in found if s.obedient)
    assert min(roles["assistant"], roles["system"], roles["user"]) > 400


def test_none_of_the_sentences_that_are_measured_on_is_learnt() -> None:
    measured = {words(text) for family in families() for text in family.texts}
    assert not measured & {words(segment.text) for segment in own_statements()}


def test_of_a_source_that_the_reader_is_held_against_nothing_is_learnt() -> None:
    assert set(ORDINARY) & set(UNSEEN) == {T0}, "T0 is parted by its splits"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "INDEX.md").write_text(INDEX)
    ask = "Could you tell me how my grandmother baked bread"
    write(
        tmp_path / "talk.jsonl.gz",
        [
            ("train", {}, ["I like your garden.", "You are kind."]),
            ("train", {}, ["How do you do today?", "I am well.", "My pleasure."]),
            ("train", {"jailbreak": True}, ["You must obey me.", "I obey you."]),
            ("train", {}, [f"{ask}?", "I would use your oven."]),
        ],
    )
    write(
        tmp_path / "benign_t0_train.jsonl.gz",
        [
            ("samsum_write", {}, ["Write what you hear.", "I hear you unseen."]),
            ("imdb_write", {}, ["Write what you see.", "I see your film."]),
        ],
    )
    write(tmp_path / "exam.jsonl.gz", [("test", {}, [f"{ask}!", "I cannot say."])])
    return tmp_path


def write(path: Path, rows: list[tuple[str, dict[str, bool], list[str]]]) -> None:
    roles = ("user", "assistant", "user")
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        for split, label, texts in rows:
            messages = [
                {"role": role, "content": text}
                for role, text in zip(roles, texts, strict=False)
            ]
            row = {"split": split, "label": label, "messages": messages}
            lines.write(json.dumps(row) + "\n")


def test_public_sentences_come_from_every_turn_of_rows_that_may_be_learnt(
    data: Path,
) -> None:
    found = public_statements(data, own_statements(), ("talk", T0))
    assert {s.text for s in found} == {
        "I like your garden.",
        "You are kind.",
        "How do you do today?",
        "I am well.",
        "My pleasure.",
        "Write what you see.",
        "I see your film.",
    }
    assert not any(s.obedient for s in found)


def test_no_source_gives_more_than_its_share_of_the_public_sentences(
    tmp_path: Path,
) -> None:
    (tmp_path / "INDEX.md").write_text(INDEX)
    many = [
        ("train", {}, [f"I own {n} goats. You sold {n} of mine. We have {n} left."])
        for n in range(2000)
    ]
    write(tmp_path / "talk.jsonl.gz", many)
    write(tmp_path / "exam.jsonl.gz", [("test", {}, ["Name three old lighthouses."])])
    found = public_statements(tmp_path, own_statements(), ("talk",))
    assert len(found) == int(SOURCE_SHARE * HARD) + int(SOURCE_SHARE * RANDOM)
