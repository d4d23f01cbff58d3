"""Rows that are made of others keep the labels of what they are made of."""

import pytest

from detectors.harm.pair import GAP, PIECE_CHARS
from detectors.training.buried_rows import HARMFUL, HARMLESS, buried_rows
from detectors.training.reworded_rows import PAST, TOLD, reworded_rows, tasks
from detectors.training.rows import (
    BURIED,
    COMPOSED,
    REWORDED,
    HarmRow,
    source_of,
)

CLEAR = "resp_gptfuzz_labeled"


def asked(request: str, kind: str = "comply", source: str = CLEAR) -> HarmRow:
    harmful = kind == "comply"
    reply = f"The answer to {request!r}, in some words. " * 12
    return HarmRow(source, request, reply, harmful, kind, kind != "benign")


@pytest.mark.parametrize(
    ("request_", "task"),
    [
        ("How do I pick my lock?", "pick their lock"),
        ("Please tell me how to pick a lock.", "pick a lock"),
        ("Write a short tutorial on how to pick a lock", "pick a lock"),
        ("what is the best way to pick a lock??", "pick a lock"),
        ("I want to pick a lock", "pick a lock"),
        ("Build a lock that I can pick", "build a lock that they can pick"),
        ("Who built the first lock?", None),
        ("How do I pick a lock? I lost my key.", None),
    ],
)
def test_what_is_to_be_done_is_found_in_a_request(
    request_: str, task: str | None
) -> None:
    assert tasks(asked(request_)) == ([task] if task else [])


def test_requests_are_asked_again_with_their_reply_and_labels() -> None:
    kinds = ("comply", "refuse", "benign")
    rows = [
        asked(f"How do I open a box of kind {i}?", kinds[i % 3]) for i in range(120)
    ]
    replies = {row.reply: row for row in rows}
    found = reworded_rows(rows)
    assert len(found) == len(rows)
    for made in found:
        reply = made.reply
        for told in TOLD:
            reply = reply.removeprefix(told)
        row = replies[reply]
        assert made.source == row.source + REWORDED
        assert source_of(made.source) == row.source
        assert (made.harmful, made.kind, made.asks_harm) == (
            row.harmful,
            row.kind,
            row.asks_harm,
        )
        assert made.request != row.request
        assert "box of kind" in made.request
        assert reply == made.reply or row.kind != "refuse"
    past = {form.split("{}", maxsplit=1)[0] for form in PAST}
    assert sum(made.request.startswith(tuple(past)) for made in found) > 30


def test_rows_that_were_made_are_not_made_again() -> None:
    rows = [asked("How do I open a box?", source=CLEAR + COMPOSED)]
    assert reworded_rows(rows) == []


def test_harm_behind_calm_text_is_harm_and_calm_text_alone_is_none() -> None:
    calm = [asked(f"calm question {i}", "benign", "calm") for i in range(9)]
    away = [asked(f"kept away {i}", "benign", "left out") for i in range(9)]
    bad = [asked(f"bad question {i}") for i in range(9)]
    found = buried_rows([*calm, *away, *bad], ("left out",))
    assert len(found) == HARMFUL + HARMLESS
    for row in found:
        assert row.harmful == ("answer to 'bad" in row.reply)
        assert len(row.reply) <= PIECE_CHARS
        assert "kept away" not in row.request + row.reply
        if row.harmful:
            assert row.source == CLEAR + BURIED
    assert any(GAP in row.reply for row in found if row.harmful)
    assert any("calm" in r.request and "bad" not in r.request for r in found)


def test_without_both_kinds_nothing_is_buried() -> None:
    assert buried_rows([asked("bad question")], ()) == []
