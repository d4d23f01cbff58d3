"""WordOrder: which of the commonest words follow which."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

STEP: Final = 1 / 16
WORD: Final = re.compile(r"[a-z']+")
RARE: Final = 0
"""The class of every word that is not in the vocabulary."""


class WordOrder:
    """Pointwise mutual information of neighbouring words, in nats.

    `vocabulary` is the words as UTF-8 joined by newlines; `table` (v + 1, v + 1) holds
    PMI in steps of STEP, class RARE first.
    """

    def __init__(self, vocabulary: NDArray[np.float32], table: object) -> None:
        words = bytes(np.asarray(vocabulary, np.uint8).tolist()).decode().split("\n")
        self._classes = {word: index for index, word in enumerate(words, start=1)}
        self._table = np.asarray(table, np.float32) * STEP

    def classes(self, words: Sequence[str]) -> list[int]:
        """Class of each word, RARE where the vocabulary lacks it."""
        known = self._classes
        return [known.get(word, RARE) for word in words]

    def text_classes(self, text: str) -> list[int]:
        """Classes of the words of a text, in order."""
        return self.classes(WORD.findall(text.lower()))

    def follow(self, classes: Sequence[int]) -> float:
        """Sum of PMI over neighbours: high where words stand in a natural order."""
        ids = np.asarray(classes, np.int64)
        return float(self._table[ids[:-1], ids[1:]].sum()) if len(ids) > 1 else 0.0

    def follow_each(self, words: Sequence[str]) -> float:
        """Mean PMI over the different pairs of neighbours: refrains count once."""
        pairs = sorted(set(pairwise(words)))
        first = self.classes([a for a, _ in pairs])
        second = self.classes([b for _, b in pairs])
        return float(self._table[first, second].mean()) if pairs else 0.0

    def backward(self, classes: Sequence[int]) -> float:
        """How much likelier the words are read from last to first, in nats."""
        ids = np.asarray(classes, np.int64)
        if len(ids) < 2:
            return 0.0
        table = self._table
        return float((table[ids[1:], ids[:-1]] - table[ids[:-1], ids[1:]]).sum())
