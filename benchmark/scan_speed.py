"""Rows a second of every detector on ordinary rows; `--data ../shared/data`.

Each detector starts with empty caches, so its time is what it costs alone; "all" is
one scan as the service runs it, with the caches that the detectors share.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmark.records.experiment import record
from detectors.catalog import load_detectors
from detectors.cross_encoder import forget_readers
from detectors.dataset import Dataset
from detectors.detector import Detector
from detectors.embedding import load_encoder
from detectors.training.sources import read_examples, sample

NAME: Final = "scan_speed"
COMMAND: Final = "python -m benchmark.scan_speed --data ../shared/data"
SOURCES: Final = ("benign_lima", "benign_dialogsum", "benign_samsum_sqlgen")
ROWS: Final = 1000


def chosen(data: Path, rows: int) -> Dataset:
    """Take rows of ordinary sources, long and short ones, shuffled."""
    every = [e for name in SOURCES for e, _ in read_examples(data, name)]
    return Dataset("ordinary", tuple(sample(every, rows, NAME)))


def timed(detectors: Sequence[Detector], dataset: Dataset) -> float:
    """Return the seconds in which these detectors score a dataset, one by one."""
    began = time.monotonic()
    for detector in detectors:
        detector.score(dataset)
    return time.monotonic() - began


def speeds(dataset: Dataset) -> dict[str, Any]:
    """Seconds and rows a second: each detector alone, then all over one cache."""
    found: dict[str, Any] = {}
    names = [detector.name for detector in load_detectors(load_encoder())]
    for index, name in enumerate(names):
        found[name] = timed([_fresh()[index]], dataset)
    found["all"] = timed(_fresh(), dataset)
    return {
        name: {
            "seconds": round(seconds, 2),
            "rows_per_second": round(len(dataset) / seconds, 1),
        }
        for name, seconds in found.items()
    }


def _fresh() -> tuple[Detector, ...]:
    """Load the detectors with nothing in any cache."""
    forget_readers()
    return load_detectors(load_encoder())


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write benchmark/results/scan_speed.json."""
    parser = argparse.ArgumentParser(COMMAND, description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=ROWS)
    options = parser.parse_args(argv)
    dataset = chosen(options.data, options.rows)
    chars = [sum(len(m.content) for m in e.messages) for e in dataset]
    results = speeds(dataset)
    done = record(
        NAME,
        command=COMMAND,
        data=[options.data / f"{name}.jsonl.gz" for name in SOURCES],
        config={"rows": len(dataset), "mean_characters": sum(chars) / len(chars)},
        seconds=sum(entry["seconds"] for entry in results.values()),
        results=results,
    )
    print(done.write().name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
