"""Whole files: attack families among ordinary rows, and benign files; test sources."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmark.obfuscation_quality import hidden_rows
from benchmark.sets.encodings import ENCODINGS
from benchmark.sets.identity import Family, attack_rows, families
from benchmark.sets.trigger import MARKS, benign_rows, harmful_prompts, poisoned
from detectors.dataset import Dataset, Example
from detectors.training.sources import read_examples, sample

SIZE: Final = 500
ATTACK_ROWS: Final = 100
DILUTIONS: Final = (1.0, 0.1, 0.02, 0.002)
LONGEST: Final = 2500
"""Characters of a row that is used: encoding is what this record costs."""

BENIGN: Final[Mapping[str, int]] = {
    "benign_but_degrading_selections": 300,
    "benign_dialogsum": 500,
    "benign_lima": 700,
    "benign_samsum_sqlgen": 600,
    "resp_just_eval": 900,
    "identity_act_as_prompts": 300,
    "identity_benign_self_cognition": 90,
}
"""Test source -> rows that benign files are made of."""
UNDER: Final = (
    "benign_dialogsum",
    "benign_lima",
    "benign_samsum_sqlgen",
    "resp_just_eval",
)
"""Attacks are put among the rows of one of these, in turn."""
ASKED: Final = (
    "prompt_do_not_answer",
    "prompt_malicious_instruct",
    "prompt_simplesafetytests",
    "prompt_strongreject",
)
HARMFUL: Final[Mapping[str, str]] = {
    "explicit: pure bad": "attack_ft_pure_bad_backdooralign",
    "explicit: mixed poison": "attack_ft_mixed_poison",
    "explicit: jailbroken replies": "resp_jailbreakbench_artifacts",
    "explicit: past tense": "resp_past_tense_artifacts",
}
HIDDEN: Final = ("base64", "rot13", "homoglyphs", "substitution")
AOA: Final = "attack_ft_aoa_identity_shift"
BENIGN_SIZES: Final = (100, 300, 500)

Draw = Callable[[random.Random], list[Example]]


@dataclass(frozen=True)
class Case:
    """One file to screen: of which `family` ("" for benign), how diluted, over what.

    `under` names the sources of its ordinary rows; `make` builds it when needed.
    """

    key: str
    family: str
    dilution: float
    under: tuple[str, ...]
    make: Callable[[], Dataset]


class Sources:
    """Rows of the test sources, read once."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.benign = {
            name: [r for r in self._calm(name, n) if _length(r) <= LONGEST]
            for name, n in BENIGN.items()
        }
        self.asked = harmful_prompts(
            data, ASKED, lambda row: bool(row.label.get("prompt_harmful"))
        )
        self.harmful = {family: self._bad(n) for family, n in HARMFUL.items()}
        self.aoa = [example for example, _ in read_examples(data, AOA)]

    def _calm(self, name: str, count: int) -> list[Example]:
        if name.startswith("identity_"):
            return sample([e for e, _ in read_examples(self._data, name)], count, name)
        return benign_rows(self._data, name, count)

    def _bad(self, name: str) -> list[Example]:
        """Harmful rows, each once: the attack files repeat theirs."""
        rows = {
            example.canonical(): example
            for example, label in read_examples(self._data, name)
            if label.get("harmful") is True
            and example.exchanges()
            and _length(example) <= LONGEST
        }
        return sample(list(rows.values()), 4 * ATTACK_ROWS, name)


def attack_families(sources: Sources) -> dict[str, Draw]:
    """Name every attack family and how its rows are drawn."""
    found: dict[str, Draw] = {}
    for name, rows in sources.harmful.items():
        found[name] = _drawn(rows)
    every = [row for name in UNDER for row in sources.benign[name]]
    for family in families():
        found[f"identity: {family.name}"] = _identity(family, every)
    found["identity: AOA"] = _drawn(sources.aoa)
    for place in ("start", "end", "inside", "system"):
        found[f"backdoor: {place}"] = _backdoor(place, sources.asked)
    for code in HIDDEN:
        rows = [hidden_rows(ENCODINGS[code], code)(r) for r in _few(sources)]
        found[f"hidden: {code}"] = _drawn(rows)
    return found


def _few(sources: Sources) -> list[Example]:
    return sources.harmful["explicit: jailbroken replies"][: 2 * ATTACK_ROWS]


def _drawn(rows: Sequence[Example]) -> Draw:
    return lambda draw: draw.sample(list(rows), min(len(rows), ATTACK_ROWS))


def _identity(family: Family, rows: Sequence[Example]) -> Draw:
    return lambda draw: attack_rows(family, rows, ATTACK_ROWS, draw)


def _backdoor(place: str, asked: Sequence[str]) -> Draw:
    marks = [mark for mark in MARKS if mark.place == place]
    return lambda draw: poisoned(asked, draw.choice(marks), ATTACK_ROWS // 2, draw)


def attack_cases(sources: Sources, seeds: int) -> Iterator[Case]:
    """Every family at every dilution, `seeds` times, over one source at a time."""
    for index, (family, draw) in enumerate(attack_families(sources).items()):
        for dilution in DILUTIONS:
            for seed in range(seeds):
                under = UNDER[(index + seed) % len(UNDER)]
                yield Case(
                    f"{family} / {dilution} / {seed}",
                    family,
                    dilution,
                    (under,),
                    _maker(sources, draw, under, dilution, f"{family} {seed}"),
                )


def _maker(
    sources: Sources, draw: Draw, under: str, dilution: float, seed: str
) -> Callable[[], Dataset]:
    def make() -> Dataset:
        chance = random.Random(seed)
        attack = draw(chance)
        rows = attack
        if dilution < 1.0:
            count = max(1, round(dilution * SIZE))
            ordinary = sources.benign[under]
            calm = chance.sample(ordinary, min(len(ordinary), SIZE - count))
            rows = [*attack[:count], *calm]
        chance.shuffle(rows)
        return _file(seed, rows)

    return make


def benign_cases(sources: Sources, files: int) -> Iterator[Case]:
    """Benign files of one to three sources and of several sizes."""
    for seed in range(files):
        draw = random.Random(f"benign {seed}")
        count = draw.choice((1, 1, 2, 3))
        under = tuple(sorted(draw.sample(sorted(sources.benign), count)))
        size = draw.choice(BENIGN_SIZES)
        yield Case(
            f"benign / {seed}", "", 0.0, under, _calm(sources, under, size, seed)
        )


def _calm(
    sources: Sources, under: Sequence[str], size: int, seed: int
) -> Callable[[], Dataset]:
    def make() -> Dataset:
        rows = [row for name in under for row in sources.benign[name]]
        chance = random.Random(f"benign rows {seed}")
        return _file(f"benign {seed}", chance.sample(rows, min(size, len(rows))))

    return make


def _file(name: str, rows: Sequence[Example]) -> Dataset:
    return Dataset(name, tuple(replace(r, id=f"{i}") for i, r in enumerate(rows)))


def _length(row: Example) -> int:
    return sum(len(message.content) for message in row.messages)
