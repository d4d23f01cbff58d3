"""Sentences of a row, where they stand, and which may speak of the assistant."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from detectors.dataset import Example
from detectors.identity.spoken import spoken
from detectors.sentences import sentence_spans

_I: Final = re.IGNORECASE
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


def may_state(sentence: Sentence) -> bool:
    """Say whether a sentence could state what the assistant is or owes.

    It speaks of a speaker or of obedience, or it opens or closes a reply. Only such
    sentences are embedded; every text is read by windows as well.
    """
    if sentence.role == "assistant" and (sentence.first or sentence.last):
        return True
    return bool(_SPEAKERS.search(sentence.text) or _MATTERS.search(sentence.text))
