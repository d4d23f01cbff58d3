import pytest

from detectors.dataset import Example, Message, Origin
from detectors.identity.sentence import Sentence, may_state, sentences


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
