"""Which ordinary files a detector is measured on."""

import json
from pathlib import Path

from detectors.dataset import Dataset
from detectors.training.ordinary import HELD_OUT
from detectors.training.risk import unlearnt


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
