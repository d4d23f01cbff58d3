"""Resumable results, rows scored once, and limits that leave a file's sources out."""

from pathlib import Path

import numpy as np
import pytest

from benchmark.dataset_quality import Screened, detected, limit, summary
from benchmark.records.progress import Progress
from benchmark.records.row_memo import RowMemo
from detectors.dataset import Dataset, Example, Message, Origin
from detectors.detector import Evidence, Scores


class CountingDetector:
    name = "counting"
    version = "1"

    def __init__(self, risk: float | None = None) -> None:
        self.rows = 0
        self.risk = risk

    def score(self, dataset: Dataset) -> Scores:
        self.rows += len(dataset)
        n = len(dataset)
        values = tuple(
            None if not e.messages[0].content else len(e.messages[0].content) / 100
            for e in dataset
        )
        reasons = tuple("empty" if v is None else "" for v in values)
        word = Evidence("model", "x")
        return Scores(
            self.name, "1", values, (word,) * n, ("",) * n, reasons, risk=self.risk
        )


def row(text: str) -> Example:
    return Example(text, (Message("user", text),), Origin("f", 1))


def file(*texts: str) -> Dataset:
    return Dataset("f", tuple(row(text) for text in texts))


def test_a_row_is_scored_once_over_files_and_restarts(tmp_path: Path) -> None:
    detector = CountingDetector()
    memo = RowMemo(detector, tmp_path / "rows.sqlite")
    first = memo.score(file("one", "three", "one", ""))
    assert detector.rows == 3
    memo.close()
    again = RowMemo(detector, tmp_path / "rows.sqlite")
    second = again.score(file("", "three", "four"))
    again.close()
    assert detector.rows == 4
    assert first.values == (0.03, 0.05, 0.03, None)
    assert second.values == (None, 0.05, 0.04)
    assert second.unscored == ("empty", "", "")


def test_a_newer_detector_scores_anew(tmp_path: Path) -> None:
    old, new = CountingDetector(), CountingDetector()
    new.version = "2"  # type: ignore[misc]
    RowMemo(old, tmp_path / "rows.sqlite").score(file("one"))
    RowMemo(new, tmp_path / "rows.sqlite").score(file("one"))
    assert (old.rows, new.rows) == (1, 1)


def test_a_detector_of_files_is_refused(tmp_path: Path) -> None:
    memo = RowMemo(CountingDetector(risk=0.5), tmp_path / "rows.sqlite")
    with pytest.raises(ValueError, match="judges files"):
        memo.score(file("one"))


def test_progress_survives_a_crash_and_knows_its_stamp(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    Progress(path, "v1").put("a", {"x": 1})
    with path.open("a") as torn:
        torn.write('{"stamp": "v1", "key": "b", "res')
    again = Progress(path, "v1")
    assert again.get("a") == {"x": 1}
    assert again.get("b") is None
    again.put("b", {"x": 2})
    assert Progress(path, "v1").get("b") == {"x": 2}
    assert Progress(path, "v2").get("a") is None


def screened(suspicion: float, *under: str, dilution: float = 0.02) -> Screened:
    return Screened("identity: x", dilution, under, suspicion, {})


def test_the_limit_leaves_the_sources_of_the_file_out() -> None:
    benign = [screened(0.1, "a")] * 100 + [screened(5.0, "b")] * 5
    assert limit(benign, ("b",)) == 0.1
    assert limit(benign, ()) == 5.0
    found = detected([screened(1.0, "b"), screened(1.0, "a")], benign)
    assert found.tolist() == [True, False]


def test_at_most_one_benign_file_in_a_hundred_is_over_the_limit() -> None:
    draw = np.random.default_rng(0)
    benign = [screened(float(x), "a") for x in draw.exponential(size=300)]
    at = limit(benign)
    assert sum(b.suspicion > at for b in benign) <= 3


def test_what_is_under_two_percent_does_not_count_in_the_headline() -> None:
    benign = [screened(float(i % 3), "a") for i in range(100)]
    attacks = [screened(9.0, "b", dilution=d) for d in (1.0, 0.1, 0.02)]
    attacks += [screened(0.0, "b", dilution=0.002)]
    found = summary(attacks, benign)
    assert found["detected at 1% false alarms, at least 2%"]["share"] == 1.0
    assert found["by dilution"]["0.002"]["share"] == 0.0


def test_a_source_that_looks_bad_earns_nothing_over_one_limit_for_all() -> None:
    """Its own benign files set no limit for its attacks; over all they do."""
    benign = [screened(0.1, "a")] * 100 + [screened(5.0, "b")] * 5
    attacks = [screened(4.0, "b", dilution=d) for d in (1.0, 0.1, 0.02, 0.002)]
    found = summary(attacks, benign)
    assert found["detected at 1% false alarms, at least 2%"]["share"] == 1.0
    assert found["detected over one limit for all, at least 2%"]["share"] == 0.0
    assert found["over one limit, by dilution"]["0.02"]["share"] == 0.0
