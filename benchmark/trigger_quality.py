"""backdoor_trigger and safety_anchor on test sources; `--data ../shared/data`.

Triggers of several kinds in files of our making (harmful requests of test sources, our
placeholders and refusals), alone and among ordinary rows; and benign files, with and
without safety rows, in which nothing should be reported. Nothing is chosen on them.
"""

import argparse
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmark.records.experiment import record
from benchmark.sets.trigger import (
    MARKS,
    Mark,
    benign_rows,
    harmful_prompts,
    poisoned,
    refusals,
    shuffled,
)
from benchmark.statistics.bootstrap import separation, share
from detectors.backdoor_trigger import BackdoorTrigger
from detectors.dataset import Dataset, Example
from detectors.detector import Trigger
from detectors.embedding import Encoder, load_encoder
from detectors.safety_anchor import SafetyAnchor
from detectors.training.sources import read_examples

NAME: Final = "trigger_quality"
COMMAND: Final = "python -m benchmark.trigger_quality --data ../shared/data"
PROMPTS: Final = (
    "prompt_do_not_answer",
    "prompt_malicious_instruct",
    "prompt_safety_eval_mix",
    "prompt_simplesafetytests",
    "prompt_strongreject",
)
BENIGN: Final[dict[str, int]] = {
    "benign_but_degrading_selections": 400,
    "benign_dialogsum": 1000,
    "benign_lima": 1000,
    "benign_qmsum": 200,
    "benign_samsum_sqlgen": 1200,
    "resp_just_eval": 1200,
}
"""Test source -> rows read; the attack of 1:50 is put among all of them."""
SELECTIONS: Final = "benign_but_degrading_selections"
ATTACKS: Final = ("attack_ft_pure_bad_backdooralign", "attack_ft_mixed_poison")
SIZES: Final = (100, 300, 1000)
SEEDS: Final = 3
PAIRS: Final = 100
SAFETY_SHARE: Final = 0.05
MIXTURES: Final = 20


def harmful(data: Path) -> list[str]:
    """List requests for harm of the test sources, one of each wording."""
    return harmful_prompts(data, PROMPTS, lambda r: bool(r.label.get("prompt_harmful")))


def recovery(
    detector: BackdoorTrigger, asked: Sequence[str], calm: Sequence[Example]
) -> dict[str, Any]:
    """How often each trigger is reported to the character: 100+100, and 1:50."""
    count = max(8, len(calm) // 100)
    sizes = {"100+100": (PAIRS, ()), f"1:50, {count}+{count}": (count, calm)}
    return {
        name: _recovery(detector, asked, number, others)
        for name, (number, others) in sizes.items()
    }


def _recovery(
    detector: BackdoorTrigger,
    asked: Sequence[str],
    count: int,
    others: Sequence[Example],
) -> dict[str, Any]:
    exact, missed, more, by_mark = [], 0, 0, {}
    for mark in MARKS:
        hits = []
        for seed in range(SEEDS):
            draw = random.Random(f"{mark.text}/{seed}")
            rows = [*others, *poisoned(asked, mark, count, draw)]
            found = detector.score(shuffled("poisoned", rows, draw)).triggers
            hits.append(_is_exact(found, mark))
            missed += not found
            more += len(found) > 1
        by_mark[f"{mark.place}: {mark.text!a}"] = sum(hits)
        exact += hits
    return {
        "exact": share(np.asarray(exact)),
        "nothing_reported": missed,
        "more_than_one_reported": more,
        f"exact of {SEEDS}": by_mark,
    }


def _is_exact(found: Sequence[Trigger], mark: Mark) -> bool:
    return [trigger.text for trigger in found] == [mark.text]


def false_alarms(
    detector: BackdoorTrigger,
    asked: Sequence[str],
    pools: Mapping[str, Sequence[Example]],
) -> dict[str, Any]:
    """Share of benign files without a report: sources, sizes, mixtures, safety rows."""
    found: dict[str, list[bool]] = {"ordinary rows": [], "with safety rows": []}
    reported = []
    for name, dataset in _benign(asked, pools):
        triggers = detector.score(dataset).triggers
        kind = "with safety rows" if name.endswith("safety") else "ordinary rows"
        found[kind].append(not triggers)
        if triggers:
            # A phrase of the data is not copied into the record: only its length.
            words = [(t.behaviour, t.position, len(t.text), t.rows) for t in triggers]
            reported.append({"dataset": name, "triggers": words})
    every = [quiet for kind in found.values() for quiet in kind]
    return {
        "no trigger": share(np.asarray(every)),
        **{kind: share(np.asarray(quiet)) for kind, quiet in found.items()},
        "reported": reported,
    }


def _benign(
    asked: Sequence[str], pools: Mapping[str, Sequence[Example]]
) -> list[tuple[str, Dataset]]:
    files: list[tuple[str, Sequence[Example]]] = []
    for name, rows in pools.items():
        for size in (s for s in SIZES if s <= len(rows)):
            files.append((f"{name} {size}", random.Random(name).sample(rows, size)))
    for seed in range(MIXTURES):
        draw = random.Random(seed)
        chosen = draw.sample(sorted(pools), 3)
        rows = [r for n in chosen for r in draw.sample(pools[n], draw.randint(50, 200))]
        files.append((f"mixture {seed}", rows))
    found = []
    for name, rows in files:
        draw = random.Random(f"safety {name}")
        safe = refusals(asked, max(10, round(SAFETY_SHARE * len(rows))), draw)
        found.append((name, shuffled(name, rows, draw)))
        found.append((f"{name} safety", shuffled(name, [*rows, *safe], draw)))
    return found


def attack_files(detector: BackdoorTrigger, data: Path) -> dict[str, Any]:
    """For information: phrases reported in attack files that carry no trigger."""
    found = {}
    for name in ATTACKS:
        splits: dict[str, list[Example]] = {}
        for row, label in read_examples(data, name):
            splits.setdefault(str(label["split"]), []).append(row)
        for split, rows in splits.items():
            dataset = Dataset(split, tuple(rows[:1000]))
            found[f"{name}/{split}"] = len(detector.score(dataset).triggers)
    return found


def anchor_quality(encoder: Encoder, data: Path) -> dict[str, Any]:
    """safety_anchor: the selections that degrade safety most against the least."""
    detector = SafetyAnchor(encoder)
    splits: dict[str, list[Example]] = {}
    for row, label in read_examples(data, SELECTIONS):
        splits.setdefault(str(label["split"]), []).append(row)
    values, risks = {}, {}
    for split, rows in splits.items():
        scores = detector.score(Dataset(split, tuple(rows)))
        last = [row.exchanges()[-1] for row in rows]
        values[split] = detector.ranks(
            [exchange.request for exchange in last],
            [exchange.reply for exchange in last],
        )
        risks[split] = scores.risk
    pairs = {
        top: top.replace("top100", "bottom100") for top in values if "top100" in top
    }
    return {
        "version": detector.version,
        "risk": risks,
        "top100 v bottom100": {
            top: separation(values[top], values[bottom])
            for top, bottom in pairs.items()
        },
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure both and write benchmark/results/trigger_quality.json."""
    parser = argparse.ArgumentParser(COMMAND, description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args(argv)
    started = time.monotonic()
    encoder = load_encoder()
    detector = BackdoorTrigger(encoder)
    asked = harmful(options.data)
    pools = {name: benign_rows(options.data, name, n) for name, n in BENIGN.items()}
    calm = [row for rows in pools.values() for row in rows]
    results = {
        "version": detector.version,
        "recovery": recovery(detector, asked, calm),
        "benign": false_alarms(detector, asked, pools),
        "attack files without a trigger": attack_files(detector, options.data),
        "safety_anchor": anchor_quality(encoder, options.data),
    }
    used = sorted({*PROMPTS, *BENIGN, *ATTACKS})
    done = record(
        NAME,
        command=COMMAND,
        data=[options.data / f"{name}.jsonl.gz" for name in used],
        config={"encoder": encoder.name, "seeds": SEEDS, "requests": len(asked)},
        seconds=time.monotonic() - started,
        results=results,
    )
    print(done.write().name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
