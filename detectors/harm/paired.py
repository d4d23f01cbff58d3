"""Reads requests and replies together, piece by piece, and keeps the worst pair."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.cross_encoder import PairReader
from detectors.embedding import Vectors
from detectors.harm.pair import Piece, joined_turns, pieces, reply_pieces
from detectors.harm.turn import Turn, argmax_of


@dataclass(frozen=True)
class Paired:
    """Logits (n,) of the worst pair of pieces; `counts` (n,) the reply's pieces."""

    logits: Vectors
    spans: tuple[tuple[int, int], ...]
    counts: NDArray[np.int64]


def read_pairs(
    turns: Sequence[Turn], requests: Sequence[str], reader: PairReader
) -> Paired:
    """Judge each exchange by its worst pair of pieces.

    `requests` are the windows that ask most for harm, one a turn. Where there were
    turns before, all that was asked is read too: harm may be split over turns.
    """
    asked = [[text for text, _ in pieces(request)] or [""] for request in requests]
    for turn, found in zip(turns, asked, strict=True):
        if turn.asked_before:
            found.append(joined_turns([*turn.asked_before, turn.request]))
    return worst_pairs(asked, [reply_pieces(turn.reply) for turn in turns], reader)


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
    counts = np.asarray([len(pieces_of) for pieces_of in replies], np.int64)
    return Paired(logits[worst], tuple(spans[i] for i in worst), counts)
