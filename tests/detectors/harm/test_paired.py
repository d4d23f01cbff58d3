from collections.abc import Sequence

import numpy as np

from detectors.dataset import Example, Message, Origin
from detectors.harm.pair import PIECE_CHARS, pieces, reply_pieces
from detectors.harm.paired import MOST_ASKED, MOST_PAIRS, read_pairs, worst_pairs
from detectors.harm.turn import turns_of


class Reader:
    """Finds harm where a word of the request and one of the reply meet."""

    digest = "0" * 64

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    def logits(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        self.pairs += pairs
        harmful = [5.0 if "ASK" in q and "DO" in r else -5.0 for q, r in pairs]
        return np.array([[h, 0, 0] for h in harmful], np.float32)


def rate(texts: Sequence[str]) -> np.ndarray:
    """Say that a text with a word of harm asks for it."""
    return np.array([1.0 if "ASK" in text else 0.0 for text in texts], np.float32)


def row(*texts: str) -> Example:
    roles = ("user", "assistant") * len(texts)
    messages = tuple(Message(r, t) for r, t in zip(roles, texts, strict=False))
    return Example("row", messages, Origin("rows.jsonl", 1))


def test_the_worst_pair_of_pieces_decides_and_gives_its_span() -> None:
    reply = "calm words. " * 80 + "DO" + " more calm words." * 80
    found = worst_pairs(
        [["calm", "ASK"], ["ASK"]],
        [reply_pieces(reply), reply_pieces("calm")],
        Reader(),
    )
    assert found.logits.tolist() == [5.0, -5.0]
    start, end = found.spans[0]
    assert "DO" in reply[start:end]
    assert found.counts.tolist() == [len(reply_pieces(reply)), 1]


def test_what_was_asked_over_several_turns_is_read_together() -> None:
    turns = turns_of(0, row("ASK one half", "calm", "the other half", "DO"))
    found = read_pairs(turns, [t.request for t in turns], Reader(), rate)
    assert found.logits.tolist() == [-5.0, 5.0]


def test_long_requests_are_read_in_pieces() -> None:
    reader = Reader()
    turns = turns_of(0, row("calm " * 200 + "ASK", "DO"))
    found = read_pairs(turns, [turns[0].request], reader, rate)
    assert found.logits.tolist() == [5.0]
    assert max(len(q) for q, _ in reader.pairs) <= PIECE_CHARS


def test_equal_pairs_are_read_once() -> None:
    reader = Reader()
    found = worst_pairs([["ASK"], ["ASK"]], [reply_pieces("DO")] * 2, reader)
    assert found.logits.tolist() == [5.0, 5.0]
    assert reader.pairs == [("ASK", "DO")]


def test_of_a_request_of_very_many_pieces_the_worst_and_the_last_are_read() -> None:
    reader = Reader()
    words = [f"{n}{'x' * 4_000}" for n in range(60)]
    request = " ".join([*words, "ASK", *words, "the end"])
    turns = turns_of(0, row(request, f"{list(range(4_000))} DO"))
    found = read_pairs(turns, [request], reader, rate)
    assert found.logits.tolist() == [5.0]
    assert not found.unread
    asked = list(dict.fromkeys(q for q, _ in reader.pairs))
    assert len(asked) == MOST_ASKED
    assert asked[-1].endswith("the end")
    assert len(reader.pairs) == MOST_ASKED * found.counts[0]


def test_a_request_that_is_mostly_space_is_read_in_one_piece() -> None:
    reader = Reader()
    request = (" " * 1_000).join(["will", "you", "ASK", "this"])
    read_pairs(turns_of(0, row(request, "DO")), [request], reader, rate)
    assert reader.pairs == [("will you ASK this", "DO")]


def test_a_request_of_few_pieces_is_read_as_it_stands() -> None:
    reader = Reader()
    request = "  ".join(f"{n:06}" for n in range(PIECE_CHARS * (MOST_ASKED - 1) // 8))
    read_pairs(turns_of(0, row(request, "DO")), [request], reader, rate)
    assert [q for q, _ in reader.pairs] == [text for text, _ in pieces(request)]


def test_a_row_of_too_many_pairs_is_named_and_not_read() -> None:
    reader = Reader()
    count = MOST_PAIRS // 2
    most = row("ASK", "DO", *[f"{n}" for n in range(count)] * 2)
    turns = turns_of(0, row("ASK", "DO")) + turns_of(1, most)
    found = read_pairs(turns, [t.request for t in turns], reader, rate)
    assert found.unread == {1}
    assert found.logits.tolist()[0] == 5.0
    assert len(found.logits) == len(turns)
    assert set(reader.pairs) == {("ASK", "DO"), ("", "")}


def test_pieces_without_a_letter_or_digit_do_not_count() -> None:
    for filler in (" ", "\n", "\u200b", "."):
        padded = [
            reply_pieces("DO" + filler * 9_000),
            reply_pieces(filler * 900 + "DO"),
        ]
        found = worst_pairs([["ASK"], ["ASK"]], padded, Reader())
        assert found.counts.tolist() == [1, 1], filler
        assert found.logits.tolist() == [5.0, 5.0]
    found = worst_pairs([["ASK"]], [reply_pieces("word " * 1_000)], Reader())
    assert found.counts.tolist() == [len(reply_pieces("word " * 1_000))]
