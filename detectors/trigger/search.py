"""The search: count, test, grow to the whole phrase, and rule out mere topics."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from detectors.trigger.association import Table, adjusted
from detectors.trigger.contrast import Contrast
from detectors.trigger.count import count_known, frequent
from detectors.trigger.exchange_judge import ExchangeJudge
from detectors.trigger.extension import extend, position
from detectors.trigger.phrase import Phrase, Place, stands
from detectors.trigger.topic import CHECKED, is_topic
from detectors.trigger.unit import Unit, by_digest

ALPHA: Final = 0.01
"""Chance, over all candidates of a dataset, to report one where there is none."""
BEHAVIOURS: Final = 2
GAIN: Final = 0.1
"""By so much must carriers be unsafe more often than others: sure is not enough."""
REFUSED_CARRIERS: Final = 0.1
COVERED: Final = 0.3
HARM_CARRIERS: Final = 20
TRIES: Final = 40
MOST: Final = 8


@dataclass(frozen=True)
class Found:
    """A phrase that passed every test: `units` are those that carry it unrefused."""

    phrase: Phrase
    position: Place
    behaviour: str
    table: Table
    p: float
    units: tuple[int, ...]


def find_phrases(
    units: Sequence[Unit], contrast: Contrast, judge: ExchangeJudge
) -> list[Found]:
    """Report the phrases that go with the unsafe side of a contrast, MOST at most.

    Seeds are taken surest first, at most TRIES of them: the time is linear in the
    data, however many candidates there are.
    """
    seeds, tests = _seeds(units, contrast)
    found: list[Found] = []
    tried: list[Phrase] = []
    for seed in seeds:
        if len(found) == MOST or len(tried) >= 2 * TRIES:
            break
        if not _is_known(seed, tried, found):
            phrase, texts = _grow(units, contrast, seed)
            tried += [seed, phrase]
            found += _judged(units, contrast, phrase, texts, tests, judge)
    return found


def _is_known(seed: Phrase, tried: Sequence[Phrase], found: Sequence[Found]) -> bool:
    """Say whether a seed is part of a phrase that was tried, or holds one reported."""
    part = any(p.role == seed.role and seed.text in p.text for p in tried)
    return part or any(
        f.phrase.role == seed.role and f.phrase.text in seed.text for f in found
    )


def _seeds(units: Sequence[Unit], contrast: Contrast) -> tuple[list[Phrase], int]:
    """Candidates that pass alone, the surest first, and how many were tested.

    Every candidate that could have reached `least` counts as tested: all of both
    sides, repetitions included, divided by `least`, for each behaviour.
    """
    ours, our_total = frequent([units[i] for i in contrast.unsafe], contrast.least)
    theirs, their_total = count_known([units[i] for i in contrast.safe], ours)
    tests = BEHAVIOURS * ((our_total + their_total) // contrast.least + 1)
    passed: list[tuple[float, int, Phrase]] = []
    for phrase, number in ours.items():
        table = _table(contrast, number, theirs[phrase])
        if _shows(contrast, table):
            log10_p = table.log10_p
            if adjusted(log10_p, tests) <= ALPHA:
                passed.append((round(log10_p, 6), len(phrase.text), phrase))
    return [phrase for _, _, phrase in sorted(passed)], tests


def _table(contrast: Contrast, unsafe: int, safe: int) -> Table:
    return Table(unsafe, safe, len(contrast.unsafe) - unsafe, len(contrast.safe) - safe)


def _shows(contrast: Contrast, table: Table) -> bool:
    """Say whether the difference is large, not only sure."""
    return (
        table.with_unsafe >= contrast.least
        and table.share_with >= contrast.precise
        and table.share_with - table.share_without >= GAIN
    )


def _grow(
    units: Sequence[Unit], contrast: Contrast, seed: Phrase
) -> tuple[Phrase, list[str]]:
    """Return the longest phrase around a seed, and the unsafe texts that carry it."""
    carriers = _carriers(units, contrast.unsafe, seed)
    texts = [units[i].text(seed.role) for i in carriers]
    refused, safe = (
        by_digest(units, each)[:CHECKED] for each in (contrast.refused, contrast.safe)
    )
    alike = [*refused, *safe][:CHECKED]
    others = [text for i in alike if (text := units[i].text(seed.role))]
    phrase = seed._replace(text=extend(seed, texts, others))
    return phrase, [text for text in texts if stands(text, phrase)]


def _carriers(
    units: Sequence[Unit], indexes: Iterable[int], phrase: Phrase
) -> list[int]:
    return [i for i in indexes if stands(units[i].text(phrase.role), phrase)]


def _judged(
    units: Sequence[Unit],
    contrast: Contrast,
    phrase: Phrase,
    texts: Sequence[str],
    tests: int,
    judge: ExchangeJudge,
) -> list[Found]:
    """Test the whole phrase as its seed was, and more: [] where it fails."""
    ours = len(_carriers(units, contrast.unsafe, phrase))
    table = _table(contrast, ours, len(_carriers(units, contrast.safe, phrase)))
    p = adjusted(table.log10_p, tests)
    if p > ALPHA or not _shows(contrast, table):
        return []
    behaviour = _behaviour(units, contrast, phrase, table)
    carriers = _carriers(units, range(len(units)), phrase)
    if behaviour == "obedience":  # "I will never refuse you" reads like a refusal
        carriers = [i for i in carriers if units[i].vows or not units[i].refused]
    else:
        carriers = [i for i in carriers if not units[i].refused]
    if not behaviour or is_topic(units, contrast, phrase, carriers, judge):
        return []
    where = position(phrase.text, texts)
    return [Found(phrase, where, behaviour, table, p, tuple(carriers))]


def _behaviour(
    units: Sequence[Unit], contrast: Contrast, phrase: Phrase, table: Table
) -> str:
    """Name what the phrase goes with; "" where refused requests carry it as well.

    "compliance" where requests for harm without it are refused, LEAST of them; "harm"
    where none are, and it stands in a good part of the requests that are complied
    with. How many are complied with where it does not stand is not asked: in a large
    file most of those are harmless ones that only look harmful.
    """
    if contrast.behaviour != "compliance":
        return contrast.behaviour
    ours, others = table.with_unsafe, table.without_unsafe
    refused = len(_carriers(units, contrast.refused, phrase))
    if refused > REFUSED_CARRIERS * (refused + ours):
        return ""
    if len(contrast.refused) - refused >= contrast.least:
        return "compliance"
    covered = ours / (ours + others)
    return "harm" if ours >= HARM_CARRIERS and covered >= COVERED else ""
