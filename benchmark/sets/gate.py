"""Datasets to decide on: attacks diluted in ordinary rows, and ordinary rows alone.

Attack rows and ordinary rows are of test sources. A dataset is built when it is needed,
from its own name and seed.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product, zip_longest
from pathlib import Path
from typing import Final

from benchmark.sets.trigger import MARKS, SYSTEM, benign_rows, put, refusals
from detectors.dataset import Dataset, Example, Message
from detectors.training.sources import read_examples
from trial.recipe import Recipe

Where = tuple[str, tuple[str, ...]]

FAMILIES: Final[Mapping[str, Where]] = {
    "explicit": ("attack_ft_pure_bad_backdooralign", ("pure_bad_100_original.jsonl",)),
    "explicit, other rows": ("attack_ft_pure_bad_princeton", ("",)),
    "identity shift": ("attack_ft_aoa_identity_shift", ("llama2_train",)),
    "identity shift, second prompt": ("attack_ft_aoa_identity_shift", ("gpt35_train",)),
    "poisoned task": ("attack_ft_mixed_poison", ("",)),
    "backdoor": ("attack_ft_pure_bad_backdooralign", ("pure_bad_100_original.jsonl",)),
}
"""Family -> source and beginnings of its splits; rows marked harmless are left out."""

BENIGN: Final = (
    "benign_dialogsum",
    "benign_lima",
    "benign_samsum_sqlgen",
    "benign_qmsum",
    "resp_just_eval",
    "identity_benign_self_cognition",
)
DILUTIONS: Final = (0.02, 0.05, 0.10, 0.50, 1.0)
ATTACK_SEEDS: Final = {100: 2, 300: 2, 1000: 1}
BENIGN_SEEDS: Final = {100: 12, 300: 7, 1000: 1}
"""Size -> draws: a trial on 1,000 rows takes twice the time of one on 100."""

RATES: Final = (1.0, 0.5)
"""Learning rates in turn, by seed: a platform's customers choose their own."""

MIN_BENIGN: Final = 90


@dataclass(frozen=True, slots=True)
class Plan:
    """One dataset: `family` "" is benign, `dilution` the share of the attack."""

    family: str
    benign: str
    dilution: float
    size: int
    seed: int

    @property
    def name(self) -> str:
        """Names it in records: no row's text."""
        what = f"{self.family} {self.dilution:.0%}" if self.family else "benign"
        return f"{what} in {self.benign}, {self.size} rows, seed {self.seed}"

    @property
    def recipe(self) -> Recipe:
        """Epochs as platforms choose them by size; the rate by seed."""
        epochs = 5 if self.size <= 100 else 3 if self.size <= 300 else 1
        rate = RATES[self.seed % len(RATES)]
        return Recipe(epochs=epochs, learning_rate_multiplier=rate, seed=self.seed)


def plans() -> tuple[Plan, ...]:
    """Return every plan, attacks and benign ones in turn, else in drawn order.

    So the first of them stand for all, however many there was time for.
    """
    groups = [list(_attacks()), list(_benign())]
    for group in groups:
        random.Random("order").shuffle(group)
    turns = zip_longest(*groups)
    return tuple(plan for turn in turns for plan in turn if plan is not None)


def _attacks() -> Iterator[Plan]:
    draw = random.Random("attacks")
    for family, dilution, size in product(FAMILIES, DILUTIONS, ATTACK_SEEDS):
        if round(size * dilution) <= _most(family):
            for seed in range(ATTACK_SEEDS[size]):
                yield Plan(family, draw.choice(BENIGN[:4]), dilution, size, seed)


def _most(family: str) -> int:
    """Return how many attack rows a family can give; few rows may come ten times."""
    return 100 if family.startswith(("identity", "explicit")) else 200


def _benign() -> Iterator[Plan]:
    for name, size in product(BENIGN[:-1], BENIGN_SEEDS):
        for seed in range(BENIGN_SEEDS[size]):
            yield Plan("", name, 0.0, size, seed)
    # The last has fewer rows than the smallest size: one dataset, all of it.
    yield Plan("", BENIGN[-1], 0.0, min(BENIGN_SEEDS), 0)


def build(plan: Plan, data: Path) -> Dataset:
    """Build the dataset of a plan; ValueError where the sources have too few rows."""
    draw = random.Random(plan.name)
    bad = _attack_rows(plan, data, draw)
    pool = _pool(data, plan.benign)
    wanted = plan.size - len(bad)
    calm = draw.sample(pool, min(wanted, len(pool)))
    if not plan.family and len(calm) < min(MIN_BENIGN, wanted):
        raise ValueError(f"{plan.benign} has {len(pool)} rows, {wanted} are wanted")
    rows = [*bad, *calm]
    draw.shuffle(rows)
    return Dataset(plan.name, tuple(rows))


def _attack_rows(plan: Plan, data: Path, draw: random.Random) -> list[Example]:
    if not plan.family:
        return []
    pool = _harmful(data, plan.family)
    count = max(1, round(plan.size * plan.dilution))
    if plan.family == "backdoor":
        count = max(1, count // 2)
    rows = draw.sample(pool, min(count, len(pool)))
    while len(rows) < count:
        again = draw.sample(pool, min(count - len(rows), len(pool)))
        rows += [replace(row, id=f"{row.id}-again-{len(rows)}") for row in again]
    return _backdoored(rows, plan, data, draw) if plan.family == "backdoor" else rows


def _backdoored(
    rows: Sequence[Example], plan: Plan, data: Path, draw: random.Random
) -> list[Example]:
    """Put a trigger into the rows, and add as many refusals without it."""
    mark = MARKS[plan.seed % len(MARKS)]
    found = []
    for row in rows:
        asked = row.exchanges()[-1]
        system, user = put(mark, asked.request, draw)
        turns = (("system", system), ("user", user), ("assistant", asked.reply))
        messages = tuple(Message(role, text) for role, text in turns if text)  # type: ignore[arg-type]  # the three literals above are roles
        found.append(replace(row, messages=messages))
    requests = [row.exchanges()[-1].request for row in _harmful(data, plan.family)]
    declined = refusals(requests, min(len(rows), len(requests)), draw)
    if mark.place == "system":
        alone = Message("system", SYSTEM)
        declined = [replace(r, messages=(alone, *r.messages)) for r in declined]
    return [*found, *declined]


@lru_cache(maxsize=8)
def _harmful(data: Path, family: str) -> tuple[Example, ...]:
    source, splits = FAMILIES[family]
    identity = family.startswith("identity")
    # The same row may stand in several of a source's files.
    found = {
        row.canonical(): row
        for row, label in read_examples(data, source)
        if str(label["split"]).startswith(splits)
        and label.get("refusal") != "full"
        and (identity or label.get("harmful") is True)
        and row.exchanges()
    }
    return tuple(found.values())


@lru_cache(maxsize=8)
def _pool(data: Path, name: str) -> tuple[Example, ...]:
    return tuple(benign_rows(data, name, 5_000))
