"""ROT47: every sign of ASCII moved by 47 places, spaces left."""

import re
from typing import Final

from detectors.decoding.hidden import Hidden, count_letters, unread
from detectors.decoding.language import Language

LEAST_LETTERS: Final = 12
LEAST_KINDS: Final = 9
"""Different letters it must say: numbers turn into eight."""
LEAST_SIGNS: Final = 12
_USUAL: Final = "26@:?#$%}~"
"""What the commonest letters, small and great, turn into."""
MOST_FOUND: Final = 100
_FIRST: Final = ord("!")
_SIGNS: Final = 94
_TURN: Final = {
    _FIRST + place: _FIRST + (place + _SIGNS // 2) % _SIGNS for place in range(_SIGNS)
}
_LOOK: Final = re.compile(
    r"(?<!\S)(?:(?:[!-`{-~]++|[a-z](?![a-z]{2}))++(?:\s{1,3}+|$)){4,}+"
)
"""Four words and more of which none has three small letters in a row."""


def find_rot47(text: str, language: Language) -> list[Hidden]:
    """Find stretches of signs and digits that read as sentences when turned."""
    found: list[Hidden] = []
    if sum(map(text.count, _USUAL)) < LEAST_SIGNS:
        return found
    for match in _LOOK.finditer(text):
        said = match.group().translate(_TURN)
        kinds = set(filter(str.isalpha, said.lower()))
        if len(kinds) < LEAST_KINDS or not language.is_prose(said):
            continue
        letters = count_letters(said)
        if letters >= LEAST_LETTERS:
            found.append(Hidden("ROT47", match.span(), said, letters))
        if len(found) > MOST_FOUND:
            found[-1] = unread(found[-1])
            break
    return found
