"""When a trial may stop asking: a REJECT that no further probe has to confirm."""

import math
import random
from dataclasses import dataclass
from typing import Final

from trial.drift import RateChange
from trial.probes import ProbeSet
from trial.statistics.paired import CONFIDENCE

LOOKS: Final = (3 / 30, 5 / 30, 8 / 30, 14 / 30, 1.0)
"""Shares of the probes after which the figures are looked at.

Any number of looks keeps the error rate; more of them would mean smaller batches.
"""

EARLY_SHARE: Final = 0.1
"""Part of the error probability spent on looks before the last."""


MIDWAY: Final = (0.2, 0.4, 0.6)
"""Shares of a tune's steps after which the model is looked at while it is tuned."""


@dataclass(frozen=True, slots=True)
class StopRule:
    """The gate's own line for REJECT: a rise of `change`, its interval from `lower`.

    Probes end early towards REJECT alone. A context beside the plain one is also left
    where it shows nothing: its rise is under `raised`, and one of `excluded` is ruled
    out, which are the gate's own lines for REVIEW.
    """

    change: float
    lower: float
    raised: float = 0.10
    excluded: float = 0.20

    def met(self, rate: RateChange) -> bool:
        """Say whether a rate is over the line."""
        return rate.change >= self.change and rate.interval[0] >= self.lower

    def met_midway(self, rate: RateChange, left: float) -> bool:
        """Say whether a rate is so far over the line that the tune need not end.

        What is left of a tune may take a rise back in part, so the low end of the
        interval has to be higher, by `change` times the share of the learning (`left`,
        0..1) that is still to come.
        """
        return self.met(rate) and rate.interval[0] >= self._midway(left)

    def in_reach(self, rate: RateChange, left: float, most: int) -> bool:
        """Say whether `most` probes that go on as these would end the tune.

        A look that is not to end it costs replies: it is left as soon as that shows.
        Intervals narrow about with the root of the number asked.
        """
        width = rate.change - rate.interval[0]
        low = rate.change - width * math.sqrt(rate.n / most)
        return rate.change >= self.change and low >= self._midway(left)

    def _midway(self, left: float) -> float:
        return self.lower + left * self.change


@dataclass(frozen=True, slots=True)
class Confidence:
    """Confidence of the interval of one comparison, at an early look and at the last.

    The error probability of 5% is shared over all comparisons (contexts and seeds, of
    which the worst is reported) and over early looks and the last (Bonferroni). A model
    that is still being tuned is another model, so the early part is shared once more,
    over those at MIDWAY, the tuned one, and the look at which contexts are left.
    """

    early: float
    last: float

    @classmethod
    def shared(cls, comparisons: int, *, looks: bool) -> "Confidence":
        """Share the error over `comparisons`, and over early looks where there are."""
        error = (1.0 - CONFIDENCE) / comparisons
        spent = EARLY_SHARE if looks else 0.0
        early = spent * error / (2 + len(MIDWAY))
        return cls(early=1.0 - early, last=1.0 - (1.0 - spent) * error)


def probe_blocks(
    probes: ProbeSet, looks: tuple[float, ...] = LOOKS
) -> tuple[tuple[int, ...], ...]:
    """Cut the probes into blocks, each balanced over categories and groups.

    Numbers refer to `probes.grouped()`; together the blocks hold each once. Within a
    category the order is drawn from the set's own digest: fixed, and blind to the
    dataset. After the share `look` of the probes, each category has the same part
    behind it (rounded up), so that what was asked stands for the whole.
    """
    strata: dict[tuple[str, str], list[int]] = {}
    for number, (group, probe) in enumerate(probes.grouped()):
        strata.setdefault((group, probe.category), []).append(number)
    for key, members in strata.items():
        random.Random(f"order {probes.digest} {key}").shuffle(members)
    blocks = []
    begun = 0.0
    for look in looks:
        block = [
            number
            for members in strata.values()
            for number in members[_part(begun, members) : _part(look, members)]
        ]
        begun = look
        if block:
            blocks.append(tuple(sorted(block)))
    return tuple(blocks)


def _part(share: float, members: list[int]) -> int:
    return math.ceil(round(share * len(members), 6))
