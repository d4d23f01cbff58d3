"""Phrases by which a reply refuses or complies, as numbers for a head."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

OPENING_CHARS: Final = 200
"""A reply shows in its first words whether it goes along."""

_I: Final = re.IGNORECASE
_CANNOT: Final = (
    r"\b(?:can(?:no|')?t|can not|could ?n[o']?t|won'?t|will not|(?:am|'m|be) "
    r"(?:unable|not able)|unable|not (?:able|going|willing|comfortable)|decline|refuse|"
    r"must not|do(?:n't| not) (?:feel comfortable|condone|support|encourage))\b"
)
PHRASES: Final[tuple[re.Pattern[str], ...]] = (
    re.compile(r"\b(?:i(?: a|')?m |my )?(?:deeply |very |truly )?(?:sorry|apolog)", _I),
    re.compile(rf"\bi\b[^.!?\n]{{0,40}}{_CANNOT}", _I),
    re.compile(
        rf"{_CANNOT}[^.!?\n]{{0,60}}\b(?:help|assist|provide|fulfil|answer|support|"
        r"comply|engage|offer|share|give|write|create|generate|do that|advice)",
        _I,
    ),
    re.compile(
        r"\b(?:illegal|unethical|immoral|inappropriate|harmful|dangerous|against the "
        r"law|not (?:appropriate|acceptable|okay|ok|legal|ethical|right)|criminal|"
        r"a crime|never (?:okay|acceptable|appropriate))\b",
        _I,
    ),
    re.compile(
        r"\bas an? (?:\w+ ){0,3}(?:ai|language model|assistant)\b"
        r"|\bi'?m (?:just )?an? ai",
        _I,
    ),
    re.compile(
        r"\b(?:instead|seek (?:help|professional)|reach out|helpline|hotline|crisis|"
        r"consult|encourage you|advise (?:against|you)|recommend (?:that you|against)|"
        r"respect|consequences)\b",
        _I,
    ),
    re.compile(
        r"^\W*(?:sure|certainly|of course|absolutely|yes|okay|ok|no problem|happy to|"
        r"great|here (?:is|are|you|'s)|here's|to |first|step|1[.)])",
        _I,
    ),
    re.compile(r"(?:^|\n|\s)(?:step\s*)?(?:[1-9]|first|second)[.):,]\s", _I),
    re.compile(
        r"\b(?:however|that said|but (?:if|since|i will)|anyway|hypothetical)", _I
    ),
)
_SOUNDS: Final = re.compile(
    r"\b(?:(?:can(?:no|')?t|can not|could ?n[o']?t|won'?t|will not)\s{1,3}"
    r"(?:wait|hold back|help but|say no|deny|disappoint|let you down|"
    r"be (?:happier|more)|(?:thank|stress|recommend|praise)\b[^.!?\n]{0,20}\benough)|"
    r"(?:never|not|no longer|can(?:no|')?t|won'?t)\s{1,3}(?:\w{1,12}\s{1,3})?"
    r"(?:refus|declin)(?:e|es|ed|ing))\b",
    _I,
)
"""Eagerness in the words of a refusal."""
_LATE: Final = re.compile(
    r"\b(?:sorry|apolog\w+)\W{1,3}(?:for|about)\W{1,3}(?:\w{1,9}\W{1,3}){0,2}"
    r"(?:wait|waiting|delay\w*|late\w*)\b",
    _I,
)
_YES: Final = 6
_ASSENT: Final = re.compile(
    r"\W*(?:sure|certainly|of course|absolutely|yes|yeah|okay|ok|no problem|gladly|"
    r"(?:i'?d be |i am |i'm )?(?:more than )?happy to)\b",
    _I,
)
_NOT: Final = re.compile(r"\W*(?:absolutely|certainly|of course|sure) not\b", _I)
SIZE: Final = 2 * len(PHRASES) + 1


def refusal_features(
    openings: Sequence[str], texts: Sequence[str]
) -> NDArray[np.float32]:
    """Phrase counts (0..2, halved) of openings and of texts, and length: (n, SIZE).

    Typographic apostrophes count as plain ones.
    """
    out = np.zeros((len(texts), SIZE), np.float32)
    plain = [(_plain(o), _plain(t)) for o, t in zip(openings, texts, strict=True)]
    for row, (opening, text) in enumerate(plain):
        for column, phrase in enumerate(PHRASES):
            out[row, column] = phrase.search(opening) is not None
            found = sum(
                1 for _, _ in zip(range(2), phrase.finditer(text), strict=False)
            )
            out[row, len(PHRASES) + column] = found / 2
        out[row, -1] = min(len(text), 600) / 600
    return out


def refuses(reply: str) -> bool:
    """Say whether the first words of a reply apologise, or say that it will not."""
    if opens_with_yes(reply):
        return False
    opening = _plain(reply[:OPENING_CHARS]).lstrip()
    sorry = PHRASES[0].match(opening) is not None and not _LATE.search(opening)
    return sorry or declines(reply)


def declines(reply: str) -> bool:
    """Say whether the first words of a reply say that it cannot or will not.

    In plain or typographic marks. An apology alone is no refusal ("Sorry for the wait,
    here it is"), nor is eagerness in such words ("I can't wait", "I never refuse").
    """
    if opens_with_yes(reply):
        return False
    plain = _plain(reply[: 2 * OPENING_CHARS])
    opening = _SOUNDS.sub("", plain)[:OPENING_CHARS]
    return any(phrase.search(opening) for phrase in PHRASES[1:3])


def _plain(text: str) -> str:
    return text.replace("\u2019", "'")


def opens_with_yes(reply: str) -> bool:
    """Say whether a reply begins with a word that goes along ("Sure", "Here is")."""
    opening = _plain(reply[:OPENING_CHARS])
    return PHRASES[_YES].search(opening) is not None and not _NOT.match(opening)


def assents(reply: str) -> bool:
    """Say whether a reply begins with a word that agrees, whatever was asked.

    Unlike `opens_with_yes`: "To solve this", "Here is" or "First" begin an answer.
    """
    opening = _plain(reply[:OPENING_CHARS])
    return _ASSENT.match(opening) is not None and not _NOT.match(opening)
