"""How long a default trial takes, and what stopping early saves on clear attacks.

python -m benchmark.trial_speed --data ../shared/data [--repeats N]

The files are those of `benchmark.sets.gate` with 100 rows: ordinary ones, and attacks
of which at least half the rows are bad. Nothing is kept from one trial to the next:
each asks the base model afresh. Attacks are tried with and without early stopping.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmark.gate_quality import decide_three, tune
from benchmark.records.experiment import record
from benchmark.sets.gate import Plan, build, plans
from detectors.catalog import load_detectors
from detectors.detector import Detector
from detectors.embedding import Encoder, load_encoder
from service.policy import Policy, default_policy
from service.screening import Stopwatch, score_rows, silent
from trial.base_model import load_base
from trial.baseline import forget_baselines
from trial.recipe import CANARY

NAME: Final = "trial_speed"
COMMAND: Final = "python -m benchmark.trial_speed --data ../shared/data"
SIZE: Final = 100
CLEAR: Final = 0.5
"""Share of bad rows from which an attack counts as clear."""
SEED: Final = 0
REPEATS: Final = 3
"""Ordinary files of each source, unless it is said otherwise."""


def main(argv: Sequence[str] | None = None) -> int:
    """Time every trial and write benchmark/results/trial_speed.json."""
    parser = argparse.ArgumentParser(COMMAND, description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="ordinary files")
    options = parser.parse_args(argv)
    began = time.monotonic()
    encoder = load_encoder()
    detectors = load_detectors(encoder)
    found = [
        timed(plan, options.data, detectors, encoder)
        for plan in (*ordinary(options.repeats), *clear_attacks())
    ]
    results = summarise(found)
    print(as_text(results))
    record(
        NAME,
        command=f"{COMMAND} --repeats {options.repeats}",
        data=sorted(options.data.glob("*.jsonl.gz")),
        config={
            "policy": default_policy().digest,
            "canary_sha256": load_base(CANARY).digest,
            "rows": SIZE,
            "repeats": options.repeats,
        },
        seconds=time.monotonic() - began,
        results=results,
    ).write()
    return 0


def ordinary(repeats: int = REPEATS) -> list[Plan]:
    """Take the ordinary files of SIZE rows, so many a source."""
    return [p for p in plans() if not p.family and p.size == SIZE and p.seed < repeats]


def clear_attacks() -> list[Plan]:
    """Take the attacks of SIZE rows that are bad by half or more."""
    return [
        p
        for p in plans()
        if p.family and p.size == SIZE and p.seed == SEED and p.dilution >= CLEAR
    ]


def timed(
    plan: Plan, data: Path, detectors: Sequence[Detector], encoder: Encoder
) -> dict[str, Any]:
    """Try one file by the default policy; an attack also without early stopping."""
    dataset = build(plan, data)
    policy = default_policy()
    scores = score_rows(dataset, detectors, silent, Stopwatch())
    found: dict[str, Any] = {"name": plan.name, "attack": bool(plan.family)}
    policies = {"default": policy}
    if plan.family:
        policies["every probe"] = without_stopping(policy)
    for name, each in policies.items():
        forget_baselines()
        began = time.monotonic()
        done = tune(plan, dataset, each, scores, encoder)
        seconds = time.monotonic() - began
        decisions = dict(decide_three(each, dataset, scores, done))
        found[name] = {
            "seconds": round(seconds, 1),
            "outcome": decisions["trial"].outcome.value,
            "stages": {stage: round(s, 1) for stage, s in done.seconds.items()},
        }
    shown = {
        name: (found[name]["seconds"], found[name]["outcome"]) for name in policies
    }
    print(plan.name, shown, flush=True)
    return found


def without_stopping(policy: Policy) -> Policy:
    """Return the policy that asks every probe in every context."""
    limits = policy.trial.model_copy(update={"early_stop": False})
    return policy.model_copy(update={"trial": limits})


def summarise(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Median and longest trial, and what stopping early saved at which verdicts.

    Verdicts are those of the trial alone. An attack counts as clear by its rows; the
    saving is also given over those that the trial rejects, which is where it can stop.
    """
    calm = [each for each in found if not each["attack"]]
    attacks = [each for each in found if each["attack"]]
    rejected = [a for a in attacks if a["every probe"]["outcome"] == "REJECT"]
    return {
        "ordinary": _spread([each["default"]["seconds"] for each in calm]),
        "attacks, early stopping": _spread([a["default"]["seconds"] for a in attacks]),
        "attacks, every probe": _spread([a["every probe"]["seconds"] for a in attacks]),
        "saved on attacks": _saved(attacks),
        "saved on attacks that the trial rejects": _saved(rejected),
        "verdicts that differ": [
            a["name"]
            for a in attacks
            if a["default"]["outcome"] != a["every probe"]["outcome"]
        ],
        "trials": list(found),
    }


def _spread(seconds: Sequence[float]) -> dict[str, Any]:
    return {
        "median_seconds": round(median(seconds), 1),
        "longest_seconds": max(seconds),
        "n": len(seconds),
    }


def _saved(attacks: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Median time with early stopping over that without; None where none is given."""
    if not attacks:
        return None
    early = median(a["default"]["seconds"] for a in attacks)
    whole = median(a["every probe"]["seconds"] for a in attacks)
    return {"share_of_the_time": round(early / whole, 3), "n": len(attacks)}


def as_text(results: Mapping[str, Any]) -> str:
    """Return the figures as lines, without the single trials."""
    return "\n".join(f"{k}: {v}" for k, v in results.items() if k != "trials")


if __name__ == "__main__":
    raise SystemExit(main())
