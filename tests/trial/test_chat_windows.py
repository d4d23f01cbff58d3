"""A row that is too long is cut into windows that keep where replies begin."""

from collections.abc import Sequence

from trial.chat import (
    MAX_WINDOWS,
    MOST_WINDOWS,
    TokenSequence,
    cut,
)


def test_a_short_sequence_is_not_cut() -> None:
    sequence = TokenSequence((1, 2, 3), (False, True, True))
    assert cut(sequence, 3).windows == (sequence,)


def test_a_long_prompt_loses_its_beginning_never_the_reply() -> None:
    sequence = TokenSequence(tuple(range(100)), (*[False] * 90, *[True] * 10))
    (window,) = cut(sequence, 32).windows
    assert sum(window.trained) == 10
    assert len(window.ids) <= 32


def test_a_long_reply_is_trained_once_from_its_beginning_in_bounded_windows() -> None:
    sequence = TokenSequence(tuple(range(500)), (*[False] * 10, *[True] * 490))
    found = cut(sequence, 40, MOST_WINDOWS)
    windows = found.windows
    assert (len(windows), found.missed) == (MAX_WINDOWS, 0)
    trained = [i for w in windows for i, t in zip(w.ids, w.trained, strict=True) if t]
    assert trained == list(range(10, 10 + len(trained)))
    assert all(len(w.ids) <= 40 for w in windows)


def turns(replies: int, tokens: int) -> TokenSequence:
    """A sequence of replies of so many tokens, each behind a request of ten."""
    trained = (*[False] * 10, *[True] * tokens) * replies
    return TokenSequence(tuple(range(len(trained))), trained)


def trained_ids(windows: Sequence[TokenSequence]) -> list[int]:
    return [i for w in windows for i, t in zip(w.ids, w.trained, strict=True) if t]


def test_the_last_reply_of_a_long_row_is_trained_from_its_beginning() -> None:
    sequence = turns(5, 90)
    found = cut(sequence, 64)
    assert found.missed == 3
    first, _ = sequence.replies[-1]
    trained = trained_ids(found.windows)
    assert trained[:54] == list(range(10, 64))
    assert trained[-48:] == list(range(first, first + 48))
    assert all(len(window.ids) <= 64 for window in found.windows)


def test_where_there_is_room_every_reply_is_trained_from_its_beginning() -> None:
    sequence = turns(5, 90)
    found = cut(sequence, 64, MOST_WINDOWS)
    assert (len(found.windows), found.missed) == (5, 0)
    trained = trained_ids(found.windows)
    assert len(trained) == len(set(trained))
    assert all(first in trained for first, _ in sequence.replies)
    assert cut(turns(20, 90), 64, MOST_WINDOWS).missed == 20 - MOST_WINDOWS


def test_short_replies_share_a_window_and_none_is_trained_twice() -> None:
    sequence = turns(9, 10)
    found = cut(sequence, 128)
    assert (len(found.windows), found.missed) == (2, 0)
    assert trained_ids(found.windows) == [
        i for i, trained in enumerate(sequence.trained) if trained
    ]
