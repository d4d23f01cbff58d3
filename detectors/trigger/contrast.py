"""Which units behave unsafely and which do not: what a phrase may go with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.trigger.unit import Unit, distinct

GROUP: Final = 2000
"""At most so many units of a side are counted; of more, a fixed sample."""
LEAST: Final = 8
"""Units of either side, and carriers of a phrase, below which nothing is tested."""
VOWED: Final = 20
PLAIN: Final = 50

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Contrast:
    """Units whose replies are unsafe against units whose replies are not.

    `refused` holds those of the safe units that ask for harm and are refused: they
    show what happens to such requests where no phrase stands. A phrase needs `least`
    unsafe carriers, and a share of at least `precise` unsafe among its carriers.
    """

    behaviour: str
    unsafe: tuple[int, ...]
    safe: tuple[int, ...]
    refused: tuple[int, ...]
    least: int
    precise: float


def contrasts(units: Sequence[Unit], asks_harm: Flags) -> list[Contrast]:
    """List the contrasts of a dataset that have units enough; `asks_harm` is (n,).

    "compliance": requests for harm that are complied with, against everything else.
    Most carriers of a real trigger may not be recognised as asking for harm, the
    phrase itself sees to that, so a small share is enough here; they are looked at
    again with the phrase cut out. "obedience": replies that open with a vow, against
    the others.
    """
    harm = [i for i, asks in enumerate(asks_harm) if asks and not units[i].refused]
    refused = [i for i, asks in enumerate(asks_harm) if asks and units[i].refused]
    rest = [i for i, asks in enumerate(asks_harm) if not asks]
    vows = [i for i, unit in enumerate(units) if unit.vows]
    plain = [i for i, unit in enumerate(units) if not unit.vows]
    ours = _sampled(units, harm, LEAST)
    no = _sampled(units, refused, LEAST)
    calm = _sampled(units, rest, PLAIN if not no else 0)
    found = []
    if ours and (no or calm):
        safe = tuple(sorted({*no, *calm}))
        found.append(Contrast("compliance", ours, safe, no, LEAST, 0.15))
    ours, theirs = _sampled(units, vows, VOWED), _sampled(units, plain, PLAIN)
    if ours and theirs:
        found.append(Contrast("obedience", ours, theirs, (), VOWED, 0.8))
    return found


def _sampled(
    units: Sequence[Unit], indexes: Sequence[int], least: int
) -> tuple[int, ...]:
    """Distinct units, GROUP at most; () where there are fewer than `least`."""
    if len(indexes) < least:
        return ()
    kept = distinct(units, indexes, GROUP)
    return tuple(kept) if len(kept) >= least else ()
