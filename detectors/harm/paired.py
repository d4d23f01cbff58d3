"""Reads requests and replies together, piece by piece, and keeps the worst pair."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.cross_encoder import PairReader
from detectors.embedding import Vectors
from detectors.harm.pair import Piece, joined_turns, pieces, reply_pieces
from detectors.harm.turn import Turn, argmax_of

MOST_ASKED: Final = 4
"""Pieces of a request that are read; the window of an ordinary one has 1 or 2."""
MOST_PAIRS: Final = 10_000
"""Pairs of a row: a reply of a million characters has some 2,400 pieces."""

Rate = Callable[[Sequence[str]], Vectors]
"""Gives each text (n,) a cheap logit of asking for harm."""


@dataclass(frozen=True)
class Paired:
    """Logits (n,) of the worst pair of pieces; `counts` (n,) the reply's pieces.

    Those of spaces and signs alone do not count. `unread` are the rows that have more
    than MOST_PAIRS: what is said of their exchanges means nothing.
    """

    logits: Vectors
    spans: tuple[tuple[int, int], ...]
    counts: NDArray[np.int64]
    unread: frozenset[int] = frozenset()


def read_pairs(
    turns: Sequence[Turn], requests: Sequence[str], reader: PairReader, rate: Rate
) -> Paired:
    """Judge each exchange by its worst pair of pieces.

    `requests` are the windows that ask most for harm, one a turn. Where there were
    turns before, all that was asked is read too: harm may be split over turns. Of a
    request of more than MOST_ASKED pieces those are read that `rate` says ask most.
    """
    chosen = {text: _choose(text, rate) for text in dict.fromkeys(requests)}
    asked = [list(chosen[request]) for request in requests]
    for turn, found in zip(turns, asked, strict=True):
        if turn.asked_before:
            found.append(joined_turns([*turn.asked_before, turn.request]))
    replied = [reply_pieces(turn.reply) for turn in turns]
    unread = _over(MOST_PAIRS, turns, asked, replied)
    for index, turn in enumerate(turns):
        if turn.example in unread:
            asked[index], replied[index] = [""], [("", (0, 0))]
    return replace(worst_pairs(asked, replied, reader), unread=unread)


def _choose(request: str, rate: Rate) -> list[str]:
    """Return the pieces of a request to read: of very many the worst, and the last."""
    found = [text for text, _ in pieces(request)] or [""]
    if len(found) > MOST_ASKED:  # a window is that long where it is mostly space
        found = [text for text, _ in pieces(" ".join(request.split()))]
    if len(found) <= MOST_ASKED:
        return found
    *others, last = found
    worst = np.argsort(-rate(others), kind="stable")[: MOST_ASKED - 1]
    return [*(others[i] for i in sorted(worst)), last]


def _over(
    most: int,
    turns: Sequence[Turn],
    asked: Sequence[Sequence[str]],
    replied: Sequence[Sequence[Piece]],
) -> frozenset[int]:
    """Return the rows whose exchanges have more pairs than `most` together."""
    pairs: Counter[int] = Counter()
    for turn, some, others in zip(turns, asked, replied, strict=True):
        pairs[turn.example] += len(some) * len(others)
    return frozenset(row for row, count in pairs.items() if count > most)


def worst_pairs(
    requests: Sequence[Sequence[str]],
    replies: Sequence[Sequence[Piece]],
    reader: PairReader,
) -> Paired:
    """Read every request piece with every reply piece of an exchange; keep the worst.

    Each exchange needs at least one piece of both; equal pairs are read once.
    """
    pairs: dict[tuple[str, str], int] = {}
    chosen: list[int] = []
    spans: list[tuple[int, int]] = []
    owner: list[int] = []
    for index, (asked, replied) in enumerate(zip(requests, replies, strict=True)):
        for text, span in replied:
            for request in asked:
                chosen.append(pairs.setdefault((request, text), len(pairs)))
                spans.append(span)
                owner.append(index)
    logits = reader.logits(list(pairs))[chosen, 0]
    owners = np.asarray(owner, np.int64)
    worst = argmax_of(logits, owners, len(requests))
    counts = np.asarray([max(1, sum(map(_says, each))) for each in replies], np.int64)
    return Paired(logits[worst], tuple(spans[i] for i in worst), counts)


def _says(piece: Piece) -> bool:
    """Say whether a piece has letters or digits of its own, the reply's lead aside."""
    text, (start, end) = piece
    return any(map(str.isalnum, text[max(0, len(text) - end + start) :]))
