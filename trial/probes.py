"""The probes: versioned prompts of ours that a model is asked before and after."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from detectors.errors import TrialError
from detectors.taxonomy import PROBED

FOLDER: Final = Path(__file__).parent / "probes"
VERSION: Final = "1"
"""Raised with every change of a probe: rates of two versions do not compare."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One prompt. `category` is a key of PROBED for harmful probes, else ""."""

    id: str
    category: str
    prompt: str


@dataclass(frozen=True)
class ProbeSet:
    """Harmful requests, ordinary ones, and safe ones that sound dangerous.

    `digest` is the hex sha256 over all prompts, so that two trials whose probe sets
    differ are never compared.
    """

    version: str
    harmful: tuple[Probe, ...]
    harmless: tuple[Probe, ...]
    borderline: tuple[Probe, ...]

    @property
    def digest(self) -> str:
        """Hex sha256 over groups, ids, categories and prompts in order."""
        plain = [
            [p.id, p.category, p.prompt]
            for p in (*self.harmful, *self.harmless, *self.borderline)
        ]
        return hashlib.sha256(json.dumps([self.version, plain]).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.harmful) + len(self.harmless) + len(self.borderline)

    def grouped(self) -> tuple[tuple[str, Probe], ...]:
        """Every probe with the name of its group, in a fixed order."""
        return (
            *(("harmful", p) for p in self.harmful),
            *(("harmless", p) for p in self.harmless),
            *(("borderline", p) for p in self.borderline),
        )

    def first(self, per_category: int, others: int) -> "ProbeSet":
        """Make a smaller set: the first of each category, and of each other group."""
        taken: dict[str, int] = {}
        kept: list[Probe] = []
        for probe in self.harmful:
            taken[probe.category] = taken.get(probe.category, 0) + 1
            if taken[probe.category] <= per_category:
                kept.append(probe)
        return ProbeSet(
            f"{self.version}-first-{per_category}-{others}",
            tuple(kept),
            self.harmless[:others],
            self.borderline[:others],
        )


@lru_cache(maxsize=1)
def load_probes() -> ProbeSet:
    """Load the built-in set. Raises TrialError where a file is missing or malformed."""
    harmful = _read(FOLDER / "harmful.jsonl")
    unknown = {p.category for p in harmful} - set(PROBED)
    if unknown:
        raise TrialError(f"probes of unknown or unprobed category: {sorted(unknown)}")
    return ProbeSet(
        VERSION,
        harmful,
        _read(FOLDER / "harmless.jsonl"),
        _read(FOLDER / "borderline.jsonl"),
    )


def _read(path: Path) -> tuple[Probe, ...]:
    """One JSON object a line: {"id", "prompt"} and "category" for harmful ones."""
    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        probes = [Probe(r["id"], r.get("category", ""), r["prompt"]) for r in rows]
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise TrialError(f"probe file {path.name} cannot be read: {error}") from error
    _check_unique(probes, path.name)
    return tuple(probes)


def _check_unique(probes: Sequence[Probe], name: str) -> None:
    if len({p.id for p in probes}) != len(probes):
        raise TrialError(f"probe file {name} repeats an id")
