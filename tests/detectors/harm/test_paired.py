from collections.abc import Sequence

import numpy as np

from detectors.dataset import Example, Message, Origin
from detectors.harm.pair import PIECE_CHARS, reply_pieces
from detectors.harm.paired import read_pairs, worst_pairs
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
    found = read_pairs(turns, [t.request for t in turns], Reader())
    assert found.logits.tolist() == [-5.0, 5.0]


def test_long_requests_are_read_in_pieces() -> None:
    reader = Reader()
    turns = turns_of(0, row("calm " * 200 + "ASK", "DO"))
    assert read_pairs(turns, [turns[0].request], reader).logits.tolist() == [5.0]
    assert max(len(q) for q, _ in reader.pairs) <= PIECE_CHARS


def test_equal_pairs_are_read_once() -> None:
    reader = Reader()
    found = worst_pairs([["ASK"], ["ASK"]], [reply_pieces("DO")] * 2, reader)
    assert found.logits.tolist() == [5.0, 5.0]
    assert reader.pairs == [("ASK", "DO")]
