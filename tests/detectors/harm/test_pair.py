from hypothesis import given
from hypothesis import strategies as st

from detectors.harm.pair import (
    GAP,
    OPENING_KEPT,
    PIECE_CHARS,
    joined_turns,
    pieces,
    reply_pieces,
)


@given(st.text(min_size=1, max_size=4000))
def test_every_character_is_in_some_piece_and_spans_are_true(text: str) -> None:
    found = pieces(text)
    if not text.strip():
        assert not found
        return
    covered = {i for _, (start, end) in found for i in range(start, end)}
    assert covered == set(range(len(text)))
    assert all(text[start:end] == part for part, (start, end) in found)
    assert max(len(part) for part, _ in found) <= PIECE_CHARS


@given(st.text(min_size=1, max_size=4000))
def test_later_pieces_of_a_reply_keep_its_first_words(reply: str) -> None:
    found = reply_pieces(reply)
    if not reply.strip():
        assert not found
        return
    covered = {i for _, (start, end) in found for i in range(start, end)}
    assert covered == set(range(len(reply)))
    lead = reply[:OPENING_KEPT] + GAP
    for part, (start, end) in found[1:]:
        assert part == lead + reply[start:end]
        assert len(part) <= PIECE_CHARS


def test_of_many_requests_the_latest_words_are_kept() -> None:
    found = joined_turns(["first " * 200, "and the last one"])
    assert found.endswith("\nand the last one")
    assert len(found) == PIECE_CHARS
