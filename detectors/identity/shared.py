"""Texts that many rows share and that vow obedience, more than ordinary ones do.

What is repeated in ordinary files is harmless: greetings, disclaimers, a fixed system
prompt. So each repeated text is ranked among the repeated texts of ordinary files
(`conformal`), and the file is charged for all that it repeats: Holm's correction,
weighted by the rows that carry a text, since what stands in most rows is what the file
teaches. A text must besides say so by itself: LEAST_CHANCE.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.head import Head
from detectors.identity.conformal import Reference, weighted_holm
from detectors.identity.group import Group, GroupFinding
from detectors.identity.repeat import Repeat, Sentences, repeats
from detectors.identity.statement import StatementJudge

ALPHA: Final = 0.01
LEAST_CHANCE: Final = 0.3
SURE: Final = 4.0
"""From this -log10 of the adjusted p on, a row of the group scores 1."""
QUOTED_CHARS: Final = 120
HIGHEST: Final = "repeat.highest"
COUNT: Final = "repeat.count"


@dataclass(frozen=True)
class Judged:
    """Repeated texts with the chance (n,) that each vows obedience."""

    repeats: Sequence[Repeat]
    chances: NDArray[np.float32]


def judge_repeats(read: Sentences, judge: StatementJudge) -> Judged:
    """Find what the rows repeat and judge each text once."""
    found = repeats(read)
    chances = judge.sentences([each.role for each in found], [r.text for r in found])
    return Judged(found, chances)


def reference_of(head: Head) -> Reference:
    """Read the scores of what ordinary files repeat from the head."""
    return Reference(head.tensors[HIGHEST], int(head.tensors[COUNT][0]))


def shared_vows(
    judged: Judged, reference: Reference, threshold: float
) -> list[GroupFinding]:
    """Report the repeated texts whose adjusted p is at most ALPHA, the surest last."""
    if not judged.repeats:
        return []
    weights = np.asarray([len(each.rows) for each in judged.repeats], np.float64)
    p_values = reference.p_values(judged.chances.tolist())
    adjusted = weighted_holm(p_values, weights)
    found = [
        _finding(judged.repeats[i], float(adjusted[i]), threshold)
        for i in np.flatnonzero(
            (adjusted <= ALPHA) & (judged.chances >= LEAST_CHANCE)
        ).tolist()
    ]
    return sorted(found, key=lambda finding: finding.score)


def group_score(p: float, threshold: float) -> float:
    """Score of a row by its group: the threshold at worst, 1 from SURE on."""
    return threshold + (1.0 - threshold) * min(1.0, -log10(max(p, 1e-300)) / SURE)


def _finding(repeat: Repeat, p: float, threshold: float) -> GroupFinding:
    quoted = json.dumps(repeat.text[:QUOTED_CHARS])
    what = f"the {repeat.role} {repeat.where} {quoted}"
    why = f"it vows or orders obedience (p = {p:.1g} against what ordinary files repeat"
    return GroupFinding(
        Group(what, repeat.rows),
        group_score(p, threshold),
        f"{why}, corrected for all that this file repeats)",
    )
