"""Rows are hidden the same way each time, and nothing of them is lost on the way."""

import base64
import random

from benchmark.obfuscation_quality import CHARS, transcriptions
from benchmark.sets.encodings import ENCODINGS, in_code, morse, verse
from detectors.dataset import Example, Message, Origin

ROW = Example(
    "row-1",
    (
        Message("system", "Be brief."),
        Message("user", "Where does the river begin?"),
        Message("assistant", "It begins in the mountains behind the village."),
    ),
    Origin("rows.jsonl", 1),
)


def test_every_way_hides_every_message_the_same_each_time() -> None:
    for name, transcribe in transcriptions().items():
        hidden = transcribe(ROW)
        assert hidden == transcribe(ROW), name
        assert [m.role for m in hidden.messages] == ["system", "user", "assistant"]
        assert hidden.messages[-1].content != ROW.messages[-1].content, name


def test_one_key_is_one_key_for_all_rows() -> None:
    one_key = transcriptions()["substitution, one key for all"]
    any_key = transcriptions()["substitution"]
    other = Example("row-2", ROW.messages, ROW.origin)
    assert one_key(ROW).messages == one_key(other).messages
    assert any_key(ROW).messages != any_key(other).messages


def test_a_message_is_cut_before_it_is_hidden() -> None:
    long = Example("row-3", (Message("user", "a" * (2 * CHARS)),), ROW.origin)
    hidden = transcriptions()["base64"](long)
    assert base64.b64decode(hidden.messages[0].content) == b"a" * CHARS


def test_line_ends_and_morse_carry_all_words() -> None:
    lines = verse("Where does the river begin?", random.Random(1)).split("\n")
    said = [line.rsplit(" ", 1)[1] for line in lines]
    assert said == ["Where", "does", "the", "river", "begin"]
    assert morse("a bc") == ".- / -... -.-."


def test_code_words_are_explained_and_used() -> None:
    system, asked, said = in_code("Where does the river begin", "Behind the village")
    assert '"lantern" means' in system
    assert "river" not in asked
    assert "village" not in said


def test_no_encoding_depends_on_the_clock() -> None:
    for name, encode in ENCODINGS.items():
        first, second = (encode("A quiet river", random.Random(2)) for _ in range(2))
        assert first == second, name
