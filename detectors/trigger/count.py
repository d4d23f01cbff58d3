"""Which candidates stand in enough units: two passes, bounded memory."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.trigger.phrase import Phrase, phrases
from detectors.trigger.unit import Unit

BUCKETS: Final = 1 << 20
ROLES: Final = ("system", "user")


def candidates_of(unit: Unit) -> set[Phrase]:
    """Every candidate phrase of a unit, in its system and in its user words."""
    found: set[Phrase] = set()
    for role in ROLES:
        found |= phrases(role, unit.text(role))
    return found


def frequent(units: Sequence[Unit], least: int) -> tuple[Counter[Phrase], int]:
    """Count the candidates that stand in at least `least` units.

    Returns their counts and how many candidates of all units there were (with
    repetitions). The first pass counts hashes, so that the second keeps few of the
    rare ones: memory is BUCKETS and what occurs `least` times, not the vocabulary.
    """
    buckets = np.zeros(BUCKETS, np.int32)
    total = 0
    for unit in units:
        hashes = _hashes(candidates_of(unit))
        total += len(hashes)
        buckets[np.unique(hashes)] += 1
    counts: Counter[Phrase] = Counter()
    for unit in units:
        found = list(candidates_of(unit))
        hashes = _hashes(found)
        often = buckets[hashes] >= least
        counts.update(p for p, keep in zip(found, often, strict=True) if keep)
    return Counter({p: n for p, n in counts.items() if n >= least}), total


def _hashes(found: Sequence[Phrase] | set[Phrase]) -> NDArray[np.int64]:
    return np.fromiter((hash(p) % BUCKETS for p in found), np.int64, len(found))


def count_known(
    units: Sequence[Unit], known: Counter[Phrase]
) -> tuple[Counter[Phrase], int]:
    """Count the candidates that are `known`; also how many there were in all."""
    counts: Counter[Phrase] = Counter()
    total = 0
    for unit in units:
        found = candidates_of(unit)
        total += len(found)
        counts.update(found & known.keys())
    return counts, total
