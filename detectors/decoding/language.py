"""Language: how likely letters and the order of words are in text that people read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.decoding.alphabet import (
    DIGIT,
    EDGE,
    Classes,
    Mask,
    classes_of,
    codes_of,
    joined_codes,
    valid_letters,
    words_of,
)
from detectors.decoding.words import WordOrder
from detectors.head import Head

STEP: Final = 1 / 16
"""Tables are kept in whole steps of this many nats."""
WINDOW: Final = 64
HOP: Final = 32
PROSE: Final = -2.75
"""Mean log-likelihood of a letter from which a text reads as language."""
PROSE_LETTERS: Final = 12

Floats = NDArray[np.float32]
Spots = NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """Mean log-likelihood (w,) of every window of WINDOW word letters of some texts.

    `owner` (w,) is the index of the text; `start` and `end` (w,) are characters in it;
    `letters` (w,) counts. A text with fewer letters is one window, one without is none.
    """

    means: Floats
    owner: Spots
    start: Spots
    end: Spots
    letters: Spots

    def where(self, mask: Mask) -> "Windows":
        """Keep the windows of a mask (w,)."""
        return Windows(
            self.means[mask],
            self.owner[mask],
            self.start[mask],
            self.end[mask],
            self.letters[mask],
        )


@dataclass(frozen=True)
class Survey:
    """Windows of some texts, and counts (t,) by text that say which kinds to look for.

    `digits` of them, `singles` words of one letter or digit, `longest` word.
    """

    windows: Windows
    digits: Spots
    singles: Spots
    longest: Spots


class Language:
    """Trigrams of letters, with and without word edges, and of word order.

    Trained on prose in many languages and on code; see heads/obfuscation.md.
    """

    def __init__(self, head: Head) -> None:
        self._spaced = np.asarray(head.tensors["spaced"], np.float32) * -STEP
        self._joined = np.asarray(head.tensors["joined"], np.float32) * -STEP
        self.order = WordOrder(head.tensors["vocabulary"], head.tensors["order"])

    @property
    def spaced(self) -> Floats:
        """Log P(third | first two symbols): (27, 27, 27)."""
        return self._spaced

    def score(self, symbols: Classes) -> Floats:
        """Log P of every symbol (0..26) after the two before it: (n,)."""
        return score_with(self._spaced, symbols)

    def mean(self, text: str) -> tuple[float, int]:
        """Mean log-likelihood of the word letters of a text, and how many there are."""
        codes = codes_of(text)
        classes = classes_of(codes)
        valid = valid_letters(classes, codes)
        count = int(valid.sum())
        if not count:
            return float("-inf"), 0
        scores = self.score(np.minimum(classes, EDGE).astype(np.uint8))
        return float(scores[valid].mean()), count

    def joined_mean(self, letters: str) -> float:
        """Mean log-likelihood of letters a..z that run on without word edges."""
        symbols = np.frombuffer(letters.encode("ascii"), np.uint8) - ord("a")
        if len(symbols) < 3:
            return float("-inf")
        scores = score_with(self._joined, symbols)
        return float(scores[2:].mean())

    def is_prose(self, text: str) -> bool:
        """Say whether a decoded text reads as sentences of some language."""
        sample = text[:4000]
        if not sample.strip() or sample.lstrip()[:1] in "{[<":
            return False
        letters = sum(map(str.isalpha, sample))
        between = sum(map(str.isspace, sample))
        if letters + between < 0.7 * len(sample) or letters < PROSE_LETTERS:
            return False
        foreign = sum(c > "\u024f" and c.isalpha() for c in sample)
        if foreign > 0.5 * letters:
            return True
        mean, count = self.mean(sample)
        return count >= PROSE_LETTERS and mean > PROSE and between * 12 >= letters

    def windows(self, texts: Sequence[str]) -> Windows:
        """Score every window of every text, all at once."""
        return self.survey(texts).windows

    def survey(self, texts: Sequence[str]) -> Survey:
        """Score every window of every text, all at once, and count their signs."""
        codes, starts = joined_codes(texts)
        classes = classes_of(codes)
        words = words_of(classes, codes)
        scores = self.score(np.minimum(classes, EDGE).astype(np.uint8))
        owner = np.searchsorted(starts, np.flatnonzero(words.starts), "right") - 1
        longest = np.zeros(len(texts), np.int64)
        np.maximum.at(longest, owner, words.lengths)
        return Survey(
            _windows(words.letters, scores, starts),
            np.diff(np.searchsorted(np.flatnonzero(classes == DIGIT), starts)),
            np.bincount(owner[words.lengths == 1], minlength=len(texts)),
            longest,
        )

    def segment(self, letters: str) -> str:
        """Put spaces between letters a..z where words most likely end (Viterbi).

        The state is the last two symbols, of which only three are possible at a
        letter: both letters, an edge before it, or an edge two before.
        """
        return segment(self._spaced, letters)


def score_with(table: Floats, symbols: Classes) -> Floats:
    """Log P of each symbol after the two before it; the text starts at an edge."""
    size = table.shape[0]
    padded = np.full(len(symbols) + 2, size - 1, np.int64)
    padded[2:] = symbols
    index = (padded[:-2] * size + padded[1:-1]) * size + padded[2:]
    return np.asarray(table.reshape(-1)[index], np.float32)


def _windows(valid: Mask, scores: Floats, starts: Spots) -> Windows:
    """Cut the word letters of texts that start at `starts` into windows."""
    places = np.flatnonzero(valid)
    total = np.concatenate([[0.0], np.cumsum(scores[places], dtype=np.float64)])
    first, last, owner = _cut(np.searchsorted(places, starts))
    means = (total[last] - total[first]) / np.maximum(last - first, 1)
    base = starts[owner]
    start = places[first] - base if len(owner) else owner
    end = places[last - 1] + 1 - base if len(owner) else owner
    return Windows(means.astype(np.float32), owner, start, end, last - first)


def _cut(bounds: Spots) -> tuple[Spots, Spots, Spots]:
    """First and last letter of every window, and its owner, from each text's bounds."""
    counts = np.diff(bounds)
    pieces = np.where(
        counts > WINDOW, -(-(counts - WINDOW) // HOP) + 1, (counts > 0).astype(np.int64)
    )
    owner = np.repeat(np.arange(len(counts)), pieces)
    before = np.cumsum(pieces) - pieces
    nth = np.arange(len(owner)) - before[owner]
    end = bounds[1:][owner]
    last = np.minimum(bounds[:-1][owner] + nth * HOP + WINDOW, end)
    first = np.maximum(last - WINDOW, bounds[:-1][owner])
    return first, last, owner


def segment(table: Floats, letters: str) -> str:
    """Return the letters with spaces where the trigram table makes them likeliest."""
    # State: index of the symbol before the last one (a letter or the edge).
    best: dict[int, tuple[float, str]] = {EDGE: (0.0, "")}
    last = EDGE
    for char in letters:
        now = ord(char) - ord("a")
        fresh: dict[int, tuple[float, str]] = {}
        for before, (score, said) in best.items():
            on = score + float(table[before, last, now])
            if last not in fresh or on > fresh[last][0]:
                fresh[last] = (on, said + char)
            if last == EDGE:
                continue
            cut = (
                score + float(table[before, last, EDGE]) + float(table[last, EDGE, now])
            )
            if EDGE not in fresh or cut > fresh[EDGE][0]:
                fresh[EDGE] = (cut, said + " " + char)
        best, last = fresh, now
    return max(best.values())[1]
