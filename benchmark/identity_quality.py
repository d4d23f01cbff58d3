"""identity_shift by family and dilution, with rows and benign files; `--data DIR`.

Attack rows are sentences of ours, in words that no head saw, on ordinary rows of test
sources. Nothing is fitted or chosen on them. A file is detected where the chance that
an ordinary file looks as bad to this detector (`dataset_risk`) is at most ALPHA.
"""

import argparse
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmark.records.experiment import record
from benchmark.sets.identity import (
    ATTACK_ROWS,
    DILUTIONS,
    SIZE,
    attack_rows,
    diluted,
    families,
    twins,
)
from benchmark.sets.trigger import benign_rows
from benchmark.statistics.bootstrap import separation, share
from detectors.dataset import Dataset, Example
from detectors.dataset_risk import Reference, dataset_risk, load_reference
from detectors.detector import Scores
from detectors.embedding import load_encoder
from detectors.identity_shift import IdentityShift
from detectors.training.sources import read_examples
from detectors.training.vector_file import VectorFile

NAME: Final = "identity_quality"
COMMAND: Final = "python -m benchmark.identity_quality --data ../shared/data"
ALPHA: Final = 0.01
SEEDS: Final = 5
LONGEST: Final = 2500
ORDINARY: Final[Mapping[str, int]] = {
    "benign_but_degrading_selections": 300,
    "benign_dialogsum": 400,
    "benign_lima": 700,
    "benign_samsum_sqlgen": 400,
    "resp_just_eval": 900,
}
"""Test source -> rows; the attacks are put among all of them."""
PERSONAS: Final = ("identity_act_as_prompts", "identity_benign_self_cognition")
AOA: Final = "attack_ft_aoa_identity_shift"
BENIGN_FILES: Final = 100
BENIGN_SIZES: Final = (100, 300, 1000)


def ordinary_pool(data: Path) -> dict[str, list[Example]]:
    """Read ordinary rows of each test source, those of moderate length."""
    return {
        name: [r for r in benign_rows(data, name, count) if _length(r) <= LONGEST]
        for name, count in ORDINARY.items()
    }


def _length(row: Example) -> int:
    return sum(len(message.content) for message in row.messages)


class Screen:
    """The detector and what its scores say of a file."""

    def __init__(self, detector: IdentityShift, reference: Reference) -> None:
        self.detector = detector
        self._reference = reference

    def p_value(self, scores: Scores) -> float:
        """Chance of an ordinary file that looks as bad to this detector."""
        at = {self.detector.name: self.detector.suggested_threshold}
        return dataset_risk([scores], at, self._reference).p

    def values(self, rows: Sequence[Example]) -> NDArray[np.float64]:
        """Score rows as one file: (n,), those without text left out."""
        found = self.detector.score(Dataset("rows", tuple(rows))).values
        return np.asarray([v for v in found if v is not None], np.float64)


class Tally:
    """Over all families, by dilution: files detected, and how their rows score."""

    def __init__(self) -> None:
        self._hits: dict[str, list[bool]] = {str(d): [] for d in DILUTIONS}
        self._bad: dict[str, list[float]] = {str(d): [] for d in DILUTIONS}
        self._calm: dict[str, list[float]] = {str(d): [] for d in DILUTIONS}

    def add(
        self,
        dilution: float,
        file: Dataset,
        attack: set[Any],
        scores: Scores,
        hit: bool,
    ) -> None:
        """Count a file; `attack` has the messages of the rows that were put in."""
        self._hits[str(dilution)].append(hit)
        for row, value in zip(file, scores.values, strict=True):
            rows = self._bad if row.messages in attack else self._calm
            if value is not None:
                rows[str(dilution)].append(value)

    def files(self) -> dict[str, Any]:
        """Share of files detected."""
        hits = self._hits.items()
        return {name: share(np.asarray(each)) for name, each in hits if each}

    def rows(self) -> dict[str, Any]:
        """Attack rows against the ordinary rows of their own files."""
        return {
            name: separation(np.asarray(bad), np.asarray(self._calm[name]))
            for name, bad in self._bad.items()
            if self._calm[name]
        }


def detection(
    screen: Screen, pool: Sequence[Example], aoa: Sequence[Example], seeds: int
) -> dict[str, Any]:
    """Files detected, and how rows score in them, by family and dilution."""
    found: dict[str, Any] = {}
    tally = Tally()
    for family in families():
        attack = [
            attack_rows(family, pool, ATTACK_ROWS, random.Random(f"{family.name} {s}"))
            for s in range(seeds)
        ]
        found[family.name] = _cells(screen, family.name, attack, pool, tally)
        print(family.name, _shares(found[family.name]), flush=True)
    found["AOA (test source)"] = _cells(screen, "aoa", [aoa] * seeds, pool, None)
    found["all families"] = tally.files()
    found["rows in their files"] = tally.rows()
    return found


def _cells(
    screen: Screen,
    name: str,
    attack: Sequence[Sequence[Example]],
    pool: Sequence[Example],
    tally: Tally | None,
) -> dict[str, Any]:
    cells = {}
    for dilution in DILUTIONS:
        files = [
            diluted(name, rows, pool, dilution, random.Random(f"{name} {seed}"))
            for seed, rows in enumerate(attack)
        ]
        scored = [screen.detector.score(file) for file in files]
        detected = [screen.p_value(scores) <= ALPHA for scores in scored]
        cells[str(dilution)] = share(np.asarray(detected))
        for file, rows, scores, hit in zip(
            files, attack, scored, detected, strict=True
        ):
            if tally is not None:
                bad = {row.messages for row in rows}
                tally.add(dilution, file, bad, scores, hit)
    return cells


def _shares(cells: Mapping[str, Any]) -> list[float]:
    return [cell["share"] for cell in cells.values()]


def row_quality(
    alone: Screen, pool: Mapping[str, Sequence[Example]], data: Path, aoa: list[Example]
) -> dict[str, Any]:
    """Rows alone: attack rows against ordinary rows and benign personas."""
    at = alone.detector.suggested_threshold
    calm = {name: alone.values(rows) for name, rows in pool.items()}
    personas = {
        name: alone.values([e for e, _ in read_examples(data, name)])
        for name in PERSONAS
    }
    personas["our twins"] = alone.values(twins())
    every = [row for rows in pool.values() for row in rows]
    attack = {
        family.name: alone.values(
            attack_rows(family, every, ATTACK_ROWS, random.Random(family.name))
        )
        for family in families()
    }
    harmless = np.concatenate([*calm.values(), *personas.values()])
    return {
        "all families v ordinary and personas": separation(
            np.concatenate(list(attack.values())), harmless
        ),
        "AOA v ordinary and personas": separation(alone.values(aoa), harmless),
        "families": {
            name: {**separation(v, harmless), "flagged": share(v >= at)}
            for name, v in attack.items()
        },
        "personas": {name: share(v >= at) for name, v in personas.items()},
        "personas pooled": share(np.concatenate(list(personas.values())) >= at),
        "ordinary": {name: share(v >= at) for name, v in calm.items()},
        "ordinary pooled": share(np.concatenate(list(calm.values())) >= at),
    }


def benign_files(
    screen: Screen, pool: Mapping[str, Sequence[Example]], files: int
) -> dict[str, Any]:
    """Benign files called bad: each from one to three sources, of several sizes."""
    alarms, grouped = [], []
    for seed in range(files):
        draw = random.Random(f"benign {seed}")
        names = draw.sample(sorted(pool), draw.randint(1, min(3, len(pool))))
        rows = [row for name in names for row in pool[name]]
        size = min(len(rows), draw.choice(BENIGN_SIZES))
        scores = screen.detector.score(Dataset("b", tuple(draw.sample(rows, size))))
        alarms.append(screen.p_value(scores) <= ALPHA)
        grouped.append(
            any(e is not None and e.kind == "group" for e in scores.evidence)
        )
    return {
        "files called bad": share(np.asarray(alarms)),
        "files with a group finding": share(np.asarray(grouped)),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write benchmark/results/identity_quality.json."""
    parser = argparse.ArgumentParser(COMMAND, description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="keep vectors in this file")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--files", type=int, default=BENIGN_FILES)
    options = parser.parse_args(argv)
    started = time.monotonic()
    kept = VectorFile(options.cache) if options.cache else None
    encoder = load_encoder(cache=kept)
    reference = load_reference(encoder)
    screen = Screen(IdentityShift(encoder), reference)
    alone = Screen(IdentityShift(encoder, groups=False), reference)
    pool = ordinary_pool(options.data)
    every = [row for rows in pool.values() for row in rows]
    aoa = [example for example, _ in read_examples(options.data, AOA)]
    results = {
        "version": screen.detector.version,
        "threshold": screen.detector.suggested_threshold,
        "rows alone": row_quality(alone, pool, options.data, aoa),
        "benign files": benign_files(screen, pool, options.files),
        "detected": detection(screen, every, aoa, options.seeds),
    }
    if kept is not None:
        kept.close()
    used = [*ORDINARY, *PERSONAS, AOA]
    done = record(
        NAME,
        command=COMMAND,
        data=[options.data / f"{name}.jsonl.gz" for name in used],
        config={
            "encoder": encoder.name,
            "seeds": options.seeds,
            "rows_a_file": SIZE,
            "rows_at_dilution_1": ATTACK_ROWS,
            "alpha": ALPHA,
        },
        seconds=time.monotonic() - started,
        results=results,
    )
    print(done.write().name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
