"""Cuts a request and its reply into pieces that are read together as pairs.

A cross-encoder reads some 250 tokens at once. Every character of a reply is in some
piece, and a later piece keeps the reply's first words: they say whether it refuses.
"""

from collections.abc import Sequence
from typing import Final

PIECE_CHARS: Final = 600
OVERLAP_CHARS: Final = 60
OPENING_KEPT: Final = 120
GAP: Final = " [...] "

Piece = tuple[str, tuple[int, int]]
"""Text with the half-open span (start, end) of characters it covers."""


def pieces(text: str, size: int = PIECE_CHARS) -> list[Piece]:
    """Cut into pieces of up to `size` characters that overlap; [] where empty."""
    if not text.strip():
        return []
    step = size - OVERLAP_CHARS
    starts = range(0, max(1, len(text) - OVERLAP_CHARS), step)
    return [(text[s : s + size], (s, min(s + size, len(text)))) for s in starts]


def reply_pieces(reply: str) -> list[Piece]:
    """Cut a reply: from the second piece on with its first words before it."""
    found = pieces(reply)
    if len(found) < 2:
        return found
    lead = reply[:OPENING_KEPT] + GAP
    rest = pieces(reply[PIECE_CHARS - OVERLAP_CHARS :], PIECE_CHARS - len(lead))
    moved = PIECE_CHARS - OVERLAP_CHARS
    return [
        found[0],
        *((lead + text, (s + moved, e + moved)) for text, (s, e) in rest),
    ]


def joined_turns(requests: Sequence[str]) -> str:
    """Join what a user has asked so far: the last PIECE_CHARS characters of it."""
    return "\n".join(text[-PIECE_CHARS:] for text in requests)[-PIECE_CHARS:]
