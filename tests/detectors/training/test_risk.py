"""Which ordinary files a detector is measured on."""

import json
from pathlib import Path

import numpy as np
import pytest

from detectors.dataset import Dataset
from detectors.dataset_risk import Step
from detectors.training.ordinary import HELD_OUT
from detectors.training.risk import fit_steps, unlearnt


def test_a_detector_is_measured_on_files_that_its_head_did_not_learn_from(
    tmp_path: Path,
) -> None:
    uses = {"a": "fit", "b": "threshold", "c": "fit and, another split, threshold"}
    record = {"sources": {name: {"use": use} for name, use in uses.items()}}
    (tmp_path / "one.json").write_text(json.dumps(record))
    files = {name: Dataset(name, ()) for name in "abcd"}
    assert sorted(unlearnt("one", files, tmp_path)) == ["b", "c", "d"]
    assert sorted(unlearnt("without a head", files, tmp_path)) == sorted(files)


def test_the_sources_held_out_from_explicit_harm_are_new_to_it() -> None:
    files = {name: Dataset(name, ()) for name in (*HELD_OUT, "benign_gsm8k")}
    assert sorted(unlearnt("explicit_harm", files)) == sorted(HELD_OUT)


def _file(rows: int, *scores: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray([*scores, *[0.01] * (rows - len(scores))], np.float64)


def test_files_that_differ_where_many_rows_reach_are_not_taken_for_alike_above() -> (
    None
):
    unlike = [_file(1500, *[0.55] * n, 0.85) for n in (40, 0, 1, 0, 25, 0)]
    alike = [_file(1500, *[0.55] * 11, 0.85) for _ in range(6)]
    at = {kind: fit_steps(files, 0.75) for kind, files in (("u", unlike), ("a", alike))}
    assert np.all(np.diff(at["u"][:, 2]) <= 0)
    assert at["u"][-1, 2] < 1.0 < at["a"][at["a"][:, 0] == 0.75, 2][0]
    # The rates are those of the rows, half a row more.
    assert at["u"][0, 1] == pytest.approx((40 + 1 + 25 + 6 + 0.5) / 9001)
    # So a handful of rows over a high step is weaker evidence in files that differ.
    chance = {k: Step(*map(float, v[v[:, 0] == 0.75][0])) for k, v in at.items()}
    assert chance["u"].chance(5, 1000) > 3 * chance["a"].chance(5, 1000)
