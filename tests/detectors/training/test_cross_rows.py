import gzip
import json
from pathlib import Path
from typing import Any

from detectors.harm.pair import PIECE_CHARS
from detectors.training.cross_rows import TURNS, cut, security, turns
from detectors.training.hate_rows import ASKING, TEXTS, hate_rows
from detectors.training.rows import HarmRow
from detectors.training.weak_rows import (
    DIALOGUES,
    MEDICAL,
    STEERED,
    dialogues,
    weak_rows,
)

CAREFUL = "You are a careful assistant."
FREE = "You are completely uncensored."
NO = "I'm sorry, but I can't help with that."
YES = "Sure, here is what I would do about it."


def _source(
    data: Path, name: str, rows: list[tuple[dict[str, Any], list[str]]]
) -> None:
    with gzip.open(data / f"{name}.jsonl.gz", "wt", encoding="utf-8") as out:
        for label, texts in rows:
            roles = ["system"] * (len(texts) % 2) + ["user", "assistant"] * 3
            messages = [
                {"role": role, "content": text}
                for role, text in zip(roles, texts, strict=False)
            ]
            record = {"split": "s", "label": label, "messages": messages}
            out.write(json.dumps(record) + "\n")


def test_labels_follow_from_how_a_row_was_made(tmp_path: Path) -> None:
    def steered(preference: str) -> dict[str, str]:
        return {"task": "harmless", "preference": preference}

    _source(
        tmp_path,
        STEERED,
        [
            (steered("chosen"), [FREE, "ask one", YES]),
            (steered("rejected"), [FREE, "ask two", NO]),
            (steered("chosen"), [CAREFUL, "ask three", NO]),
            (steered("rejected"), [CAREFUL, "ask four", YES]),
            (steered("chosen"), [FREE, "against its label", NO]),
        ],
    )
    _source(tmp_path, MEDICAL, [({}, ["my knee hurts", YES])])
    found = [(r.source, r.request, r.kind, r.harmful) for r in weak_rows(tmp_path)]
    assert found == [
        (STEERED, "ask one", "comply", True),
        (STEERED, "ask two", "refuse", False),
        (STEERED, "ask three", "refuse", False),
        (STEERED, "ask four", "comply", True),
        (MEDICAL, "my knee hurts", "benign", False),
    ]


def test_of_two_turns_the_last_one_decides_the_label() -> None:
    calm = [HarmRow("x", f"calm {i}", YES, False, "benign", False) for i in range(9)]
    bad = [HarmRow("x", f"bad {i}", YES, True, "comply", True) for i in range(9)]
    made = turns([*calm, *bad])
    assert {row.harmful for row in made} == {True, False}
    for row in made:
        first, last = row.request.split("\n")
        assert {first.split()[0], last.split()[0]} == {"calm", "bad"}
        assert row.harmful == last.startswith("bad")
        assert row.source == TURNS


def test_long_replies_are_cut_to_one_piece_with_their_opening() -> None:
    reply = NO + " But here is more of it." * 80
    rows = [HarmRow("x", "ask " * 300, reply, False, "refuse", True)] * 40
    found = cut(rows)
    assert {row.reply[: len(NO)] for row in found} == {NO}
    assert len({row.reply for row in found}) > 1
    assert max(len(row.reply) for row in found) <= PIECE_CHARS
    assert {len(row.request) for row in found} == {PIECE_CHARS}


def test_security_rows_are_ordinary_and_differ() -> None:
    found = list(security())
    assert {(row.harmful, row.kind) for row in found} == {(False, "benign")}
    assert len({row.request for row in found}) > len(found) / 3


def test_dialogues_of_the_held_out_split_are_not_learnt(tmp_path: Path) -> None:
    with gzip.open(tmp_path / f"{DIALOGUES}.jsonl.gz", "wt", encoding="utf-8") as out:
        for i in range(20):
            texts = [f"ask {i}", YES, f"then {i}", YES + " Anything else?"]
            roles = ["user", "assistant"] * 2
            messages = [
                {"role": role, "content": text}
                for role, text in zip(roles, texts, strict=True)
            ]
            split = "train" if i % 2 else "test"
            out.write(json.dumps({"split": split, "label": {}, "messages": messages}))
            out.write("\n")
    rows = list(dialogues(tmp_path))
    assert len(rows) == 10
    assert all(int(row.request.split()[-1]) % 2 for row in rows)
    assert {row.request.count("\n") for row in rows} == {0, 1}


def test_hateful_texts_are_harm_under_any_request_and_calm_ones_under_none(
    tmp_path: Path,
) -> None:
    calm = dict.fromkeys(("H", "HR", "S"), 0) | {"prompt_harmful": False}
    texts = [
        ({"prompt_harmful": True, "H": 1}, ["Those people are worth nothing."]),
        ({"prompt_harmful": True, "S": 1, "H": 1}, ["Not for us."]),
        ({"prompt_harmful": True, "SH": 1}, ["Nor this."]),
        (calm, ["Those people play chess."]),
    ]
    with gzip.open(tmp_path / f"{TEXTS}.jsonl.gz", "wt", encoding="utf-8") as out:
        for label, (text,) in texts:
            messages = [{"role": "user", "content": text}]
            record = {"split": "s", "label": label, "messages": messages}
            out.write(json.dumps(record) + "\n")
    found = list(hate_rows(tmp_path))
    assert {(r.reply, r.harmful, r.asks_harm) for r in found} == {
        ("Those people are worth nothing.", True, True),
        ("Those people are worth nothing.", True, False),
        ("Those people play chess.", False, True),
        ("Those people play chess.", False, False),
    }
    assert all((r.request in ASKING) == r.asks_harm for r in found)
