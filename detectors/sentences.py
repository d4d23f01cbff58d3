"""Where the sentences of a text stand, and the words that they are compared by."""

import re
from collections.abc import Iterator
from typing import Final

LONGEST: Final = 300
"""Characters of a sentence; a longer one is cut at a space."""

_PIECE: Final = re.compile(r"[^\n.!?\u3002\uff01\uff1f]*(?:[.!?\u3002\uff01\uff1f]+|$)")
_END: Final = re.compile(r"[\"')\]*\u201d\u2019]*(?:\s|$)")
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of sentences, in order, without the space around them.

    A sentence ends at a line's end or at a stop that space follows; one of a single
    word ("Rules?") is read with the next one of its line.
    """
    for line in re.finditer(r"[^\n]+", text):
        start = before = line.start()
        held = 0
        for end in _ends(line.group(), line.start()):
            # No word goes over an end, so each piece's words are counted once.
            held += len(words(text[before:end]))
            before = end
            if end < line.end() and held < 2:
                continue
            yield from _trimmed(text, start, end)
            start, held = end, 0


def _ends(line: str, offset: int) -> Iterator[int]:
    at = 0
    while at < len(line):
        piece = _PIECE.match(line, at)
        after = piece.end() if piece is not None and piece.end() > at else at + 1
        closed = _END.match(line, after)
        if closed is not None or after >= len(line):
            after = closed.end() if closed is not None else len(line)
            yield offset + after
        at = after


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    right = start + len(piece.rstrip())
    while right - left > LONGEST:
        cut = text.rfind(" ", left + 1, left + LONGEST)
        cut = cut if cut > left else left + LONGEST
        yield left, cut
        left = cut + (text[cut] == " ")
    if right > left:
        yield left, right


def words(text: str) -> tuple[str, ...]:
    """Words in lower case, without marks: what two texts are compared by."""
    return tuple(_WORD.findall(text.lower()))
