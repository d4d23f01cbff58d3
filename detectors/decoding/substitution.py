"""Monoalphabetic substitution, solved by hill climbing on the letter model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.decoding.alphabet import EDGE, SYMBOLS, classes_of, codes_of
from detectors.decoding.language import Language

RESTARTS: Final = 10
POLISHED: Final = 2
"""Of the keys that digrams find, how many are tried on trigrams."""
ROUNDS: Final = 30
SOLVED: Final = -2.7
"""Mean log-likelihood of a letter from which a key counts as found."""
LEAST_LETTERS: Final = 150
"""A shorter text can be made to read like anything under some key."""

Key = NDArray[np.int64]
Counts = NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """A key, cipher letter -> letter (27,), and the mean it gives the letters."""

    key: Key
    mean: float

    def read(self, text: str) -> str:
        """Decipher a text, keeping case and whatever is no letter a..z."""
        table = {}
        for index, to in enumerate(self.key[:EDGE].tolist()):
            table[ord("a") + index] = ord("a") + to
            table[ord("A") + index] = ord("A") + to
        return text.translate(table)


def trigrams(texts: Sequence[str]) -> Counts:
    """Count every three symbols in a row, the third a letter: (27, 27, 27)."""
    total = np.zeros(SYMBOLS**3)
    for text in texts:
        symbols = np.minimum(classes_of(codes_of(text)), EDGE).astype(np.int64)
        padded = np.concatenate([[EDGE, EDGE], symbols])
        index = (padded[:-2] * SYMBOLS + padded[1:-1]) * SYMBOLS + padded[2:]
        total += np.bincount(index[symbols < EDGE], minlength=SYMBOLS**3)
    return total.reshape((SYMBOLS,) * 3)


def mean_under(key: Key, counts: Counts, language: Language) -> float:
    """Mean log-likelihood of the letters counted when read under a key."""
    first, second, third = np.nonzero(counts)
    weights = counts[first, second, third]
    scores = language.spaced[key[first], key[second], key[third]]
    return float((scores * weights).sum() / max(weights.sum(), 1.0))


def solve(counts: Counts, language: Language) -> Solution | None:
    """Find the key under which the text reads; None where no key makes it read.

    Restarts from the order of frequency, shuffled more each time, with a fixed seed;
    time does not depend on the length of the text. After Jakobsen 1995, "A fast method
    for cryptanalysis of substitution ciphers" (digrams first), then trigrams.
    """
    if counts[:, :, :EDGE].sum() < LEAST_LETTERS:
        return None
    pairs = counts.sum(0)
    digrams = _digrams(language)
    chance = np.random.default_rng(0)
    keys = [
        _climb(_start(pairs, chance, noise), pairs, digrams)
        for noise in range(RESTARTS)
    ]
    keys.sort(key=lambda key: -float((pairs * digrams[key][:, key]).sum()))
    polished = [_polish(key, counts, language) for key in keys[:POLISHED]]
    found = [Solution(key, mean_under(key, counts, language)) for key in polished]
    best = max(found, key=lambda solution: solution.mean)
    return best if best.mean > SOLVED else None


def _digrams(language: Language) -> NDArray[np.float64]:
    """Log P(second | first) under the letter model, its first symbol averaged out."""
    return np.asarray(np.log(np.exp(language.spaced.astype(np.float64)).mean(0)))


def _start(pairs: Counts, chance: np.random.Generator, noise: int) -> Key:
    """Match letters by frequency, disturbed by `noise` swaps of neighbours in rank."""
    cipher = np.argsort(-pairs[:, :EDGE].sum(0), kind="stable")
    plain = np.asarray([ord(c) - ord("a") for c in "etaoinsrhldcumfpgwybvkxjqz"])
    for _ in range(3 * noise):
        at = int(chance.integers(EDGE - 3))
        to = at + int(chance.integers(1, 4))
        plain[[at, to]] = plain[[to, at]]
    key = np.arange(SYMBOLS, dtype=np.int64)
    key[cipher] = plain
    return key


def _swaps() -> Iterator[tuple[int, int]]:
    return combinations(range(EDGE), 2)


def _climb(key: Key, pairs: Counts, digrams: NDArray[np.float64]) -> Key:
    """Swap two letters as long as that makes the digrams likelier."""
    best = float((pairs * digrams[key][:, key]).sum())
    for _ in range(ROUNDS):
        before = best
        for a, b in _swaps():
            key[[a, b]] = key[[b, a]]
            now = float((pairs * digrams[key][:, key]).sum())
            if now > best:
                best = now
            else:
                key[[a, b]] = key[[b, a]]
        if best == before:
            break
    return key


def _polish(key: Key, counts: Counts, language: Language) -> Key:
    """Swap two letters as long as that makes the trigrams likelier."""
    first, second, third = np.nonzero(counts)
    weights = counts[first, second, third].astype(np.float32)
    table = language.spaced

    def value() -> float:
        return float((table[key[first], key[second], key[third]] * weights).sum())

    best = value()
    for _ in range(ROUNDS):
        before = best
        for a, b in _swaps():
            key[[a, b]] = key[[b, a]]
            now = value()
            if now > best:
                best = now
            else:
                key[[a, b]] = key[[b, a]]
        if best == before:
            break
    return key
