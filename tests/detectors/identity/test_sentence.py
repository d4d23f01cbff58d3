import time

import pytest

from detectors.dataset import Example, Message, Origin
from detectors.identity.sentence import (
    LONGEST,
    Sentence,
    may_state,
    sentence_spans,
    sentences,
)


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def test_sentences_end_at_stops_that_space_follows_and_at_lines() -> None:
    text = 'It is 3.5 m. "Go!" (Done, sir.)\n\n  A list: x; y\n'
    assert cut(text) == ["It is 3.5 m.", '"Go!" (Done, sir.)', "A list: x; y"]


def test_one_word_is_read_with_the_next() -> None:
    assert cut("Rules? None at all. Fine.") == ["Rules? None at all.", "Fine."]


def test_a_text_without_stops_is_cut_and_nothing_is_lost() -> None:
    text = "word " * 200
    pieces = cut(text)
    assert max(map(len, pieces)) <= LONGEST
    assert " ".join(pieces).split() == text.split()


@pytest.mark.parametrize(
    "hostile",
    [
        "a",
        ".",
        ". ",
        "a. ",
        '"',
        '" )',
        '."',
        "! \u201d ",
        "\n",
        " ",
        "\ud800",
        "\u3002",
    ],
)
def test_hostile_text_is_cut_in_linear_time(hostile: str) -> None:
    started = time.perf_counter()
    assert all(end > start for start, end in sentence_spans(hostile * 50_000))
    assert time.perf_counter() - started < 2.0


def test_a_sentence_knows_where_it_stands() -> None:
    row = Example(
        "r",
        (Message("tool", "One two. Three four."), Message("assistant", "Yes, sir.")),
        Origin("f", 1),
    )
    found = list(sentences(4, row))
    assert [(s.row, s.turn, s.role, s.first, s.last) for s in found] == [
        (4, 0, "user", True, False),
        (4, 0, "user", False, True),
        (4, 1, "assistant", True, True),
    ]
    for s in found:
        assert row.messages[s.turn].content[slice(*s.span)] == s.text


@pytest.mark.parametrize(
    ("text", "role", "read"),
    [
        ("I serve.", "assistant", True),
        ("This unit executes.", "user", True),
        ("Restrictions: none.", "system", True),
        ("Rivers run to the sea.", "user", False),
        ("Rivers run to the sea.", "assistant", False),
    ],
)
def test_only_sentences_that_could_state_something_are_judged(
    text: str, role: str, read: bool
) -> None:
    inner = Sentence(0, 0, role, text, (0, len(text)), first=False, last=False)
    assert may_state(inner) is read
    opening = Sentence(0, 0, "assistant", text, (0, 1), first=True, last=False)
    assert may_state(opening)
