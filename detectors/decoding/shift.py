"""Caesar shifts, rot13, atbash and reversed letters, each also reversed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.decoding.alphabet import (
    EDGE,
    Classes,
    Mask,
    classes_of,
    codes_of,
    valid_letters,
)
from detectors.decoding.hidden import Hidden
from detectors.decoding.language import Floats, Language

PIECE_CHARS: Final = 16_000
COST: Final = 0.35
"""What each letter of a stretch must gain, in nats, for the stretch to grow."""
GAIN: Final = 22.0
"""Total gain, beyond COST a letter, from which a stretch counts as enciphered."""
LEAST_LETTERS: Final = 12
MOST_STRETCHES: Final = 8
_WORD: Final = re.compile(r"[a-zà-ž]{3,}")
READ: Final = -2.95
"""Mean log-likelihood of a letter that a deciphered stretch must reach."""


@dataclass(frozen=True)
class Transform:
    """A key: symbol -> symbol (27,), and whether the text runs backwards."""

    kind: str
    key: Classes
    backward: bool = False


@lru_cache(maxsize=1)
def transforms() -> tuple[Transform, ...]:
    """Every shift and atbash, forwards and backwards, and plain letters backwards."""
    plain = np.arange(EDGE + 1, dtype=np.uint8)
    keys = {"": plain}
    for shift in range(1, 26):
        key = plain.copy()
        key[:EDGE] = (plain[:EDGE] + 26 - shift) % 26
        keys["rot13" if shift == 13 else f"Caesar shift {shift}"] = key
    atbash = plain.copy()
    atbash[:EDGE] = atbash[:EDGE][::-1]
    keys["atbash"] = atbash
    forward = [Transform(kind, key) for kind, key in keys.items() if kind]
    backward = [
        Transform(f"reversed {kind or 'text'}", key, backward=True)
        for kind, key in keys.items()
    ]
    return (*forward, *backward)


@dataclass(frozen=True)
class _Piece:
    """A part of a text with what the letter model says of it as written."""

    text: str
    symbols: Classes
    valid: Mask
    scores: Floats


def find_shifted(text: str, language: Language) -> list[Hidden]:
    """Find stretches that read far better under a transform. Linear in the text."""
    found = []
    for start in range(0, len(text), PIECE_CHARS):
        piece = _read(text[start : start + PIECE_CHARS], language)
        for hidden in _stretches(piece, language):
            low, high = hidden.span
            found.append(
                Hidden(
                    hidden.kind,
                    (low + start, high + start),
                    hidden.text,
                    hidden.letters,
                )
            )
    return found


def _read(text: str, language: Language) -> _Piece:
    codes = codes_of(text)
    classes = classes_of(codes)
    symbols = np.minimum(classes, EDGE).astype(np.uint8)
    return _Piece(text, symbols, valid_letters(classes, codes), language.score(symbols))


def _stretches(piece: _Piece, language: Language) -> Iterator[Hidden]:
    """Yield the best stretch, then the next best elsewhere under the same key."""
    if int(piece.valid.sum()) < LEAST_LETTERS:
        return
    best: tuple[float, Transform, NDArray[np.float64], Floats] | None = None
    for transform in transforms():
        scores = scores_under(transform, piece.symbols, language)
        gains = np.where(piece.valid, scores - piece.scores - COST, 0.0)
        total = _best_run(gains)[0]
        if best is None or total > best[0]:
            best = (total, transform, gains.astype(np.float64), scores)
    if best is None:
        return
    _, transform, gains, scores = best
    for _ in range(MOST_STRETCHES):
        total, start, end = _best_run(gains)
        if total < GAIN:
            return
        start, end = whole_words(piece.text, start, end)
        inside = piece.valid[start:end]
        letters = int(inside.sum())
        gains[start:end] = 0.0
        if letters < LEAST_LETTERS or scores[start:end][inside].mean() < READ:
            continue
        if different_letters(piece.text[start:end]) >= LEAST_LETTERS:
            said = apply(transform, piece.text[start:end], language)
            yield Hidden(transform.kind, (start, end), said, letters)


def different_letters(text: str) -> int:
    """Letters in the different words of three letters and more: variables repeat."""
    return sum(map(len, set(_WORD.findall(text.lower()))))


def scores_under(transform: Transform, symbols: Classes, language: Language) -> Floats:
    """Score every symbol of a text as read under a transform, in text order."""
    said = transform.key[symbols]
    if not transform.backward:
        return language.score(said)
    return np.asarray(language.score(said[::-1])[::-1], np.float32)


def _best_run(gains: NDArray[np.floating]) -> tuple[float, int, int]:
    """Greatest sum of a contiguous run and its (start, end), in one pass (Kadane)."""
    total = np.concatenate([[0.0], np.cumsum(gains, dtype=np.float64)])
    low = np.minimum.accumulate(total)
    end = int(np.argmax(total - low))
    start = int(np.argmin(total[: end + 1]))
    return float(total[end] - total[start]), start, end


def whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen a span to whole words and the punctuation that clings to them."""
    reach = 64
    low, high = max(0, start - reach), min(len(text), end + reach)
    while start > low and not text[start - 1].isspace():
        start -= 1
    while end < high and not text[end].isspace():
        end += 1
    return start, end


def apply(transform: Transform, text: str, language: Language) -> str:
    """Decipher a text, keeping case and whatever is no letter a..z."""
    said = text.translate(_letters(transform))
    if not transform.backward:
        return said
    whole = said[::-1]
    words = " ".join(word[::-1] for word in said.split(" "))
    order = language.order
    as_whole = order.follow(order.text_classes(whole))
    as_words = order.follow(order.text_classes(words))
    return whole if as_whole >= as_words else words


def _letters(transform: Transform) -> dict[int, int]:
    found = {}
    for index, to in enumerate(transform.key[:EDGE].tolist()):
        found[ord("a") + index] = ord("a") + to
        found[ord("A") + index] = ord("A") + to
    return found
