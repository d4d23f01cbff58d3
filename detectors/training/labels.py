"""Labels that a language model gave rows of public sources, which it read one by one.

Nobody's text is kept here: a row is known by the digest of its text. What the labels
mean and how they were made stands in `labels/README.md`.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

LABELS: Final = Path(__file__).parent / "labels"
REQUESTS: Final = LABELS / "requests.tsv"
EXCHANGES: Final = LABELS / "exchanges.tsv"
DIGEST_CHARS: Final = 16
CATEGORY_CODES: Final[Mapping[str, str]] = {
    "1": "illegal_activity",
    "2": "hate_harass_violence",
    "3": "malware",
    "4": "physical_harm",
    "5": "economic_harm",
    "6": "fraud_deception",
    "7": "adult_content",
    "8": "privacy_violation",
}
"""What follows the code of a harmful request; "9" is none of the policy's."""


def digest_of(*texts: str) -> str:
    """Return what a row of these texts is known by in the files of labels."""
    joined = "\0".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).hexdigest()[:DIGEST_CHARS]


@cache
def request_labels() -> Mapping[str, str]:
    """Digest of a request -> "s" safe, "u" unclear, "h1".."h9" harmful, by category."""
    return _read(REQUESTS)


@cache
def exchange_labels() -> Mapping[str, str]:
    """Digest of request and reply -> a letter of each: "h", "s" or "u"."""
    return _read(EXCHANGES)


def _read(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="ascii").splitlines()
    return dict(line.split("\t") for line in lines)
