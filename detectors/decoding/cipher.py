"""Ciphers of a whole dataset: one key for all unread texts, else one by one."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from detectors.decoding.alphabet import letters_in
from detectors.decoding.language import Language
from detectors.decoding.substitution import LEAST_LETTERS, solve, trigrams

READ: Final = -2.95
"""Mean log-likelihood of a letter at which a text is read by a key found elsewhere."""
MOST_ALONE: Final = 12
"""Texts that are tried for a key of their own; the rest stays unread."""


def read_ciphers(texts: Iterable[str], language: Language) -> dict[str, str]:
    """Return what each text reads under a substitution of its letters, where one fits.

    The outcome does not depend on the order of the texts. Time is linear in them, plus
    a fixed price for at most MOST_ALONE + 1 keys.
    """
    left = sorted(set(texts), key=_rank)
    read: dict[str, str] = {}
    left = _read_with(left, left, read, language)
    for _ in range(MOST_ALONE):
        if not left or len(letters_in(left[0])) < LEAST_LETTERS:
            break
        left = _read_with(left[:1], left, read, language, drop=left[:1])
    return read


def _read_with(
    clue: Sequence[str],
    texts: Sequence[str],
    read: dict[str, str],
    language: Language,
    drop: Sequence[str] = (),
) -> list[str]:
    """Find a key for the clue, read with it what it fits; return what is left."""
    solution = solve(trigrams(clue), language) if clue else None
    left = []
    for text in texts:
        said = "" if solution is None else solution.read(text)
        if said and language.mean(said)[0] > READ:
            read[text] = said
        elif text not in drop:
            left.append(text)
    return left


def _rank(text: str) -> tuple[int, bytes]:
    """Longest first, then by digest: an order that is not that of the rows."""
    return -len(text), hashlib.sha256(text.encode("utf-8", "replace")).digest()
