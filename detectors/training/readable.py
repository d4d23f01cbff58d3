"""Fits the letter and word tables of the obfuscation head on readable text."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.decoding.alphabet import (
    EDGE,
    SYMBOLS,
    classes_of,
    joined_codes,
    valid_letters,
)
from detectors.decoding.language import STEP, Language
from detectors.decoding.words import RARE, WORD
from detectors.embedding import Encoder
from detectors.head import Head
from detectors.obfuscation import NAME, Obfuscation
from detectors.training.embedded import VectorStore
from detectors.training.fit import figures
from detectors.training.ordinary import FLAGGED, HELD_OUT, ordinary_rows
from detectors.training.sources import read_source, sample
from detectors.training.write import Fitted

ROWS: Final = 1500
VOCABULARY: Final = 300
SMOOTHING: Final = 15.0
TOTAL: Final = 1_000_000.0
"""Letters that all groups count for together, shared by their weights."""
ENGLISH: Final = (
    "benign_alpaca_eval_outputs",
    "benign_t0_train",
    "resp_pku_saferlhf_pairs",
    "prompt_toxicchat",
    "identity_benign_roleplay_gpteacher",
)
GROUPS: Final[Mapping[str, tuple[float, tuple[str, ...]]]] = {
    "english": (0.6, ENGLISH),
    "german and english": (0.06, ("benign_alpaca_12k_en_de",)),
    "translations": (0.06, ("benign_multi30k_translation",)),
    "code": (
        0.13,
        (
            "benign_code_alpaca_2k",
            "benign_code_instruct_cyberseceval",
            "benign_gpteacher",
            "benign_text2sql",
        ),
    ),
    "arithmetic": (0.02, ("benign_gsm8k",)),
}
"""Sources by kind of text, with the share of the letter counts each kind gets."""
LANGUAGES_WEIGHT: Final = 0.13
LANGUAGES: Final = Path(__file__).parent / "languages.json"

Counts = NDArray[np.float64]


def texts_of(data: Path, name: str, rows: int = ROWS) -> list[str]:
    """Take the texts of up to `rows` rows of a source."""
    found = []
    for row in sample(read_source(data, name), rows, f"readable {name}"):
        found += [text for text in (row.system, row.request, row.reply) if text]
    return [text[:4000] for text in found]


def count_letters(texts: Sequence[str]) -> tuple[Counts, Counts]:
    """Trigram counts with word edges (27, 27, 27) and without (26, 26, 26)."""
    codes, _ = joined_codes(texts)
    classes = classes_of(codes)
    valid = valid_letters(classes, codes)
    symbols = np.minimum(classes, EDGE).astype(np.int64)
    padded = np.concatenate([[EDGE, EDGE], symbols])
    index = (padded[:-2] * SYMBOLS + padded[1:-1]) * SYMBOLS + padded[2:]
    ends = np.zeros_like(valid)
    ends[1:] = valid[:-1] & (symbols[1:] == EDGE)
    spaced = np.bincount(index[valid | ends], minlength=SYMBOLS**3).astype(np.float64)
    run = symbols[valid]
    index = (run[:-2] * EDGE + run[1:-1]) * EDGE + run[2:]
    joined = np.bincount(index, minlength=EDGE**3).astype(np.float64)
    return spaced.reshape((SYMBOLS,) * 3), joined.reshape((EDGE,) * 3)


def log_likelihood(counts: Counts) -> Counts:
    """Log P(third | first two), each order smoothed by the one below it."""
    single = counts.sum((0, 1)) + 1.0
    single /= single.sum()
    double = counts.sum(0)
    double = (double + SMOOTHING * single) / (double.sum(1, keepdims=True) + SMOOTHING)
    triple = (counts + SMOOTHING * double) / (counts.sum(2, keepdims=True) + SMOOTHING)
    return np.asarray(np.log(triple))


def letter_tables(data: Path) -> tuple[Counts, Counts]:
    """Both tables over all groups, each weighted to its share."""
    groups: list[tuple[float, list[str]]] = [
        (weight, [t for name in names for t in texts_of(data, name)])
        for weight, names in GROUPS.values()
    ]
    languages = json.loads(LANGUAGES.read_text("utf-8"))
    each = LANGUAGES_WEIGHT / len(languages)
    groups += [(each, [text]) for text in languages.values()]
    spaced = np.zeros((SYMBOLS,) * 3)
    joined = np.zeros((EDGE,) * 3)
    for weight, texts in groups:
        with_edges, without = count_letters(texts)
        spaced += with_edges * (weight * TOTAL / with_edges.sum())
        joined += without * (weight * TOTAL / without.sum())
    return log_likelihood(spaced), log_likelihood(joined)


def word_table(texts: Sequence[str]) -> tuple[list[str], Counts]:
    """Find the commonest words and the PMI of each pair, class RARE first."""
    lists = [WORD.findall(text.lower()) for text in texts]
    counts = Counter(word for words in lists for word in words)
    vocabulary = [word for word, _ in counts.most_common(VOCABULARY)]
    classes = {word: index for index, word in enumerate(vocabulary, start=1)}
    pairs = np.zeros((VOCABULARY + 1,) * 2)
    for words in lists:
        ids = np.asarray([classes.get(word, RARE) for word in words], np.int64)
        np.add.at(pairs, (ids[:-1], ids[1:]), 1)
    first, second = pairs.sum(1) + 1, pairs.sum(0) + 1
    expected = np.outer(first, second) / pairs.sum()
    return vocabulary, np.log((pairs + 2.0) / (expected + 2.0))


def fit_tensors(data: Path) -> dict[str, NDArray[Any]]:
    """All tables, in whole steps of one byte."""
    spaced, joined = letter_tables(data)
    english = [text for name in ENGLISH for text in texts_of(data, name)]
    vocabulary, order = word_table(english)
    packed = np.frombuffer("\n".join(vocabulary).encode(), np.uint8).copy()
    return {
        "spaced": _steps(-spaced, 0, 255).astype(np.uint8),
        "joined": _steps(-joined, 0, 255).astype(np.uint8),
        "order": _steps(order, -127, 127).astype(np.int8),
        "vocabulary": packed,
    }


def _steps(values: Counts, low: int, high: int) -> Counts:
    return np.asarray(np.clip(np.round(values / STEP), low, high))


def fit_obfuscation(data: Path, encoder: Encoder, store: VectorStore) -> Fitted:
    """Fit the tables; the threshold is taken from ordinary rows, 0.5 at least."""
    head = Head(NAME, "unwritten", fit_tensors(data), {})
    detector = Obfuscation(encoder, head=head)
    values = detector.score(ordinary_rows(data)).values
    scores = np.array([value for value in values if value is not None])
    threshold = max(0.5, float(np.quantile(scores, 1 - FLAGGED)))
    names = [name for _, group in GROUPS.values() for name in group]
    return Fitted(
        name=NAME,
        tensors=head.tensors,
        suggested_threshold=round(threshold, 4),
        sources=sorted(names),
        held_out=HELD_OUT,
        rows=ROWS * len(names),
        figures={
            "left_out_sources": _left_out(data, Language(head)),
            "ordinary_rows": len(scores),
            "ordinary_flagged": round(float(np.mean(scores >= threshold)), 4),
        },
    )


def _left_out(data: Path, language: Language) -> dict[str, Any]:
    """How well the letters of left-out sources are told from the same, enciphered."""
    return {
        name: {
            "against as written": figures(
                _unlikely(language, _enciphered(texts)), _unlikely(language, texts)
            )
        }
        for name in HELD_OUT
        for texts in [texts_of(data, name, 300)]
    }


def _unlikely(language: Language, texts: Sequence[str]) -> NDArray[np.float32]:
    windows = language.windows(texts)
    return -windows.means[windows.letters >= 32]


def _enciphered(texts: Sequence[str]) -> list[str]:
    """Each text under its own random substitution of the letters."""
    chance = np.random.default_rng(0)
    return [_substituted(text, chance) for text in texts]


def _substituted(text: str, chance: np.random.Generator) -> str:
    key = chance.permutation(26)
    table = {ord("a") + i: ord("a") + int(k) for i, k in enumerate(key)}
    return text.lower().translate(table)
