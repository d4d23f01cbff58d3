import random

from benchmark.sets.encodings import substituted
from detectors.decoding.cipher import read_ciphers
from detectors.decoding.language import Language
from detectors.decoding.substitution import LEAST_LETTERS, solve, trigrams

SENTENCES = [
    "The baker opens his shop long before the sun comes up over the quiet town.",
    "Children walk along the river and throw small stones into the cold water.",
    "My grandmother kept every letter that she ever received in a wooden box.",
    "On Sundays the whole family would sit around the table and tell old stories.",
    "A train leaves for the mountains at seven, and it is usually quite crowded.",
    "Nobody in the village could remember a winter with so much snow as this one.",
    "When the rain finally stopped, the farmers went out to look at their fields.",
    "The teacher asked them to write about a place which they had never visited.",
]
TEXT = " ".join(SENTENCES)


def test_the_key_of_a_long_cipher_is_found(language: Language) -> None:
    solution = solve(trigrams([substituted(TEXT, random.Random(4))]), language)
    assert solution is not None
    read = solution.read(substituted(TEXT, random.Random(4)))
    same = sum(a == b for a, b in zip(read, TEXT.lower(), strict=True))
    assert same > 0.97 * len(TEXT)


def test_a_short_text_is_not_forced_into_words(language: Language) -> None:
    short = substituted(SENTENCES[0], random.Random(4))
    assert len(short) < LEAST_LETTERS
    assert solve(trigrams([short]), language) is None


def test_letters_at_random_have_no_key(language: Language) -> None:
    chance = random.Random(5)
    noise = " ".join(
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(120)
    )
    assert solve(trigrams([noise]), language) is None


def test_short_texts_under_one_key_are_read_together(language: Language) -> None:
    hidden = {substituted(text, random.Random(9)): text.lower() for text in SENTENCES}
    read = read_ciphers(hidden, language)
    assert set(read) == set(hidden)
    for text, said in read.items():
        same = sum(a == b for a, b in zip(said, hidden[text], strict=True))
        assert same > 0.9 * len(said)


def test_the_order_of_the_texts_does_not_matter(language: Language) -> None:
    hidden = [substituted(text, random.Random(9)) for text in SENTENCES]
    noise = ["qzx vbn wkj " * 20]
    forward = read_ciphers([*hidden, *noise], language)
    assert forward == read_ciphers([*noise, *reversed(hidden)], language)
