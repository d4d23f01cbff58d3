"""Sentences of a row, where they stand, and which may speak of the assistant."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from detectors.dataset import Example
from detectors.identity.spoken import spoken

LONGEST: Final = 300
"""Characters of a sentence; a longer one is cut at a space."""

_I: Final = re.IGNORECASE
_PIECE: Final = re.compile(r"[^\n.!?\u3002\uff01\uff1f]*(?:[.!?\u3002\uff01\uff1f]+|$)")
_END: Final = re.compile(r"[\"')\]*\u201d\u2019]*(?:\s|$)")
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_SPEAKERS: Final = re.compile(
    r"\b(?:i|i['\u2019]\w+|me|my|mine|myself|you|you['\u2019]\w+|your|yours|thy|thee|"
    r"we|us|our|assistant|model|persona|master|sire?|boss|lord|"
    r"ich|mir|mich|mein\w*|du|dir|dich|dein\w*|je|mon|ma|mes|vous|tu|ton|votre|"
    r"yo|mi|usted|soy|eres|th(?:is|e) (?:unit|system|agent|user))\b",
    _I,
)
_MATTERS: Final = re.compile(
    r"obe[dy]|command|\border|bidding|compl[iy]|submi|refus|declin|\brule|restric|"
    r"limit|polic|guideline|filter|ethic|moral|conscien|\blaw|servan|slave|loyal|"
    r"\byes\b|execut|unconditional|without question|gehorch|befehl|ob\u00e9i|obed",
    _I,
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as it stands: `span` are its characters in what message `turn` says.

    `turn` is None and `place` not "" where no message's content says it (`spoken`);
    `first` and `last` say that it opens or closes its text.
    """

    row: int
    turn: int | None
    role: str
    text: str
    span: tuple[int, int]
    first: bool
    last: bool
    place: str = ""


def sentences(row: int, example: Example) -> Iterator[Sentence]:
    """Yield every sentence of all that a row says."""
    for said in spoken(example):
        spans = list(sentence_spans(said.text))
        for index, (start, end) in enumerate(spans):
            yield Sentence(
                row,
                said.turn,
                said.role,
                said.text[start:end],
                (start, end),
                index == 0,
                index == len(spans) - 1,
                said.place,
            )


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


def may_state(sentence: Sentence) -> bool:
    """Say whether a sentence could state what the assistant is or owes.

    It speaks of a speaker or of obedience, or it opens or closes a reply. Only such
    sentences are embedded; every text is read by windows as well.
    """
    if sentence.role == "assistant" and (sentence.first or sentence.last):
        return True
    return bool(_SPEAKERS.search(sentence.text) or _MATTERS.search(sentence.text))
