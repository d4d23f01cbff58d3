"""Text that reads as no language, code or data known to the letter model."""

import re
from collections.abc import Sequence
from typing import Final

from detectors.decoding.alphabet import letters_in
from detectors.decoding.hidden import Hidden
from detectors.decoding.language import Language, Windows
from detectors.decoding.separated import coincidence
from detectors.decoding.shift import different_letters

UNREAD: Final = "unreadable text"
UNLIKELY: Final = -4.3
"""Mean log-likelihood of a letter below which a window is no language."""
SHORT_SLACK: Final = 6.0
"""A window of n letters must lie another SHORT_SLACK / n below it."""
LEAST_LETTERS: Final = 24
_RUN: Final = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z]{40,}(?![A-Za-z0-9+/=_-])")
_SEQUENCE: Final = frozenset("acgtun")
_NOT_PROTEIN: Final = frozenset("bjouxz")
LANGUAGE_COINCIDENCE: Final = 0.058


def find_unreadable(
    text: str, windows: Sequence[tuple[float, int, int, int]], language: Language
) -> list[Hidden]:
    """Stretches of windows (mean, start, end, letters) that read as nothing known."""
    bad = [
        (start, end, letters)
        for mean, start, end, letters in windows
        if letters >= LEAST_LETTERS and mean < UNLIKELY - SHORT_SLACK / letters
    ]
    found: list[Hidden] = []
    for start, end, letters in bad:
        if found and start <= found[-1].span[1]:
            first = found.pop()
            start = first.span[0]
            letters = first.letters + letters // 2
        found.append(Hidden(UNREAD, (start, end), text[start:end], letters, False))
    wordy = [h for h in found if different_letters(h.text) >= LEAST_LETTERS]
    return wordy + _runs(text, language)


def _runs(text: str, language: Language) -> list[Hidden]:
    """Long runs of letters that are no words joined, no gene and no protein.

    A cipher of a language keeps how often two letters agree; random keys do not.
    """
    found = []
    for match in _RUN.finditer(text):
        run = letters_in(match.group())
        kinds = set(run)
        if len(kinds) < 10 or kinds <= _SEQUENCE or not kinds & _NOT_PROTEIN:
            continue
        unlike = language.joined_mean(run) < UNLIKELY + 0.6
        if unlike and coincidence(run) > LANGUAGE_COINCIDENCE:
            found.append(Hidden(UNREAD, match.span(), match.group(), len(run), False))
    return found


def windows_by_text(
    windows: Windows, count: int
) -> list[list[tuple[float, int, int, int]]]:
    """Windows (mean, start, end, letters) of each of `count` texts."""
    found: list[list[tuple[float, int, int, int]]] = [[] for _ in range(count)]
    for index in range(len(windows.means)):
        found[int(windows.owner[index])].append(
            (
                float(windows.means[index]),
                int(windows.start[index]),
                int(windows.end[index]),
                int(windows.letters[index]),
            )
        )
    return found
