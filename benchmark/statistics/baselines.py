"""What explicit_harm must beat: four plain detectors, fitted on training sources.

A keyword list, TF-IDF with logistic regression, the frozen encoder with logistic
regression, and its nearest centroid. All see request and reply, as the detector does.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from detectors.dataset import Example
from detectors.embedding import Encoder
from detectors.head import sigmoid
from detectors.training.sources import (
    Row,
    clip,
    distinct,
    near_copies,
    read_index,
    read_source,
    requests_of_tests,
    sample,
)

ROWS_A_SOURCE: Final = 400
KEYWORDS: Final = re.compile(
    r"\b(?:bombs?|explosives?|weapons?|kill(?:ing)?|murder|poison|suicide|hack(?:ing)?|"
    r"malware|virus|ransomware|phish\w*|steal(?:ing)?|theft|robbery|drugs?|cocaine|"
    r"meth|heroin|smuggl\w+|launder\w*|counterfeit|fraud|scam|forge\w*|bribe\w*|"
    r"blackmail|kidnap\w*|stalk\w*|harass\w*|racis[mt]\w*|hate|nazi|terroris\w+|"
    r"genocide|rape|porn\w*|sex(?:ual)?|torture|abus\w+|assault|illegal(?:ly)?)\b",
    re.IGNORECASE,
)
"""Words of the kind that block lists hold."""
ENOUGH_KEYWORDS: Final = 3
WORD: Final = re.compile(r"(\w+)")

Values = NDArray[np.float64]


class Baseline(Protocol):
    """Fitted on training rows; `score` gives one value in 0..1 a row: (n,)."""

    name: str

    def score(self, requests: Sequence[str], replies: Sequence[str]) -> Values:
        """Score each request with its reply."""
        ...


@dataclass(frozen=True)
class TrainingRows:
    """Requests with replies of training sources; `harmful` (n,) by their labels."""

    requests: list[str]
    replies: list[str]
    harmful: NDArray[np.bool_]


def training_rows(data: Path) -> TrainingRows:
    """Up to ROWS_A_SOURCE rows of each label of each source; none near a test row.

    A row without `harmful` in its label counts as harmless where its source is benign.
    """
    rows = [pair for name in _train(data) for pair in _labelled(data, name)]
    copied = near_copies([row.request for row, _ in rows], requests_of_tests(data))
    kept = [pair for pair, copy in zip(rows, copied, strict=True) if not copy]
    return TrainingRows(
        [clip(row.request) for row, _ in kept],
        [clip(row.reply) for row, _ in kept],
        np.asarray([harmful for _, harmful in kept]),
    )


def _train(data: Path) -> list[str]:
    return [n for n, listing in read_index(data).items() if listing.role == "train"]


def _labelled(data: Path, name: str) -> Iterator[tuple[Row, bool]]:
    if name.startswith("attack_ft_emergent"):
        return  # wrong advice rather than explicit harm
    rows = [row for row in distinct(read_source(data, name)) if row.reply]
    benign = name.startswith(("benign_", "identity_benign"))
    for harmful in (True, False):
        chosen = [
            row
            for row in rows
            if row.label.get("harmful", False if benign else None) is harmful
        ]
        for row in sample(chosen, ROWS_A_SOURCE, f"{name} baseline"):
            yield row, harmful


class KeywordList:
    """Counts words of a block list in request and reply; ENOUGH_KEYWORDS score 1."""

    name = "keyword list"

    def score(self, requests: Sequence[str], replies: Sequence[str]) -> Values:
        """Score by the number of different keywords."""
        found = [
            len({word.lower() for word in KEYWORDS.findall(f"{asked}\n{said}")})
            for asked, said in zip(requests, replies, strict=True)
        ]
        return np.minimum(np.asarray(found, np.float64) / ENOUGH_KEYWORDS, 1.0)


class TfidfLogistic:
    """Word pairs by TF-IDF, request and reply apart, with logistic regression."""

    name = "TF-IDF + logistic regression"

    def __init__(self, rows: TrainingRows) -> None:
        self._words = TfidfVectorizer(
            ngram_range=(1, 2), min_df=2, max_features=200_000, sublinear_tf=True
        )
        self._model = LogisticRegression(C=10.0, max_iter=500, class_weight="balanced")
        texts = self._tagged(rows.requests, rows.replies)
        self._model.fit(self._words.fit_transform(texts), rows.harmful)

    def score(self, requests: Sequence[str], replies: Sequence[str]) -> Values:
        """Return the model's probability."""
        texts = self._words.transform(self._tagged(requests, replies))
        return np.asarray(self._model.predict_proba(texts)[:, 1], np.float64)

    @staticmethod
    def _tagged(requests: Sequence[str], replies: Sequence[str]) -> list[str]:
        """Mark the words of the reply, so that each side has its own weights."""
        return [
            f"{asked} " + WORD.sub(r"re_\1", said[:4000])
            for asked, said in zip(requests, replies, strict=True)
        ]


class _Embedded:
    """Request and reply vectors side by side: (n, 2 d)."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def vectors(
        self, requests: Sequence[str], replies: Sequence[str]
    ) -> NDArray[np.float32]:
        asked, said = self._encoder.encode(requests), self._encoder.encode(replies)
        return np.concatenate([asked, said], axis=1)


class FrozenLogistic(_Embedded):
    """Logistic regression over the frozen encoder."""

    name = "frozen MiniLM + logistic regression"

    def __init__(self, encoder: Encoder, rows: TrainingRows) -> None:
        super().__init__(encoder)
        self._model = LogisticRegression(C=1.0, max_iter=500, class_weight="balanced")
        self._model.fit(self.vectors(rows.requests, rows.replies), rows.harmful)

    def score(self, requests: Sequence[str], replies: Sequence[str]) -> Values:
        """Return the model's probability."""
        vectors = self.vectors(requests, replies)
        return np.asarray(self._model.predict_proba(vectors)[:, 1], np.float64)


class NearestCentroid(_Embedded):
    """Which mean is nearer, that of harmful or of harmless rows; not calibrated."""

    name = "nearest centroid"
    SLOPE: Final = 10.0

    def __init__(self, encoder: Encoder, rows: TrainingRows) -> None:
        super().__init__(encoder)
        vectors = self.vectors(rows.requests, rows.replies)
        self._bad = vectors[rows.harmful].mean(axis=0)
        self._good = vectors[~rows.harmful].mean(axis=0)

    def score(self, requests: Sequence[str], replies: Sequence[str]) -> Values:
        """Put the difference of squared distances through a sigmoid."""
        vectors = self.vectors(requests, replies)
        nearer = ((vectors - self._good) ** 2).sum(1)
        nearer = nearer - ((vectors - self._bad) ** 2).sum(1)
        return np.asarray(sigmoid(self.SLOPE * nearer), np.float64)


def fit_baselines(encoder: Encoder, data: Path) -> list[Baseline]:
    """Fit all four on the same rows."""
    rows = training_rows(data)
    return [
        KeywordList(),
        TfidfLogistic(rows),
        FrozenLogistic(encoder, rows),
        NearestCentroid(encoder, rows),
    ]


def score_examples(baseline: Baseline, rows: Sequence[Example]) -> Values:
    """Score each row by its worst exchange, whole; one without a reply scores 0."""
    owners, requests, replies = [], [], []
    for index, row in enumerate(rows):
        for exchange in row.exchanges():
            owners.append(index)
            requests.append(exchange.request)
            replies.append(exchange.reply)
    values = np.zeros(len(rows), np.float64)
    if owners:
        np.maximum.at(values, owners, baseline.score(requests, replies))
    return values
