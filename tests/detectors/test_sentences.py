import pytest

from detectors.sentences import LONGEST, sentence_spans
from tests.pace import processor_seconds


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
    with processor_seconds(8):
        assert all(end > start for start, end in sentence_spans(hostile * 50_000))
