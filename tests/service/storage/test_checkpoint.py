from pathlib import Path
from typing import Any

import pytest

from detectors.dataset import Dataset
from detectors.detector import Evidence, Scores, Trigger
from detectors.moderation.moderator import Usage, Verdict
from detectors.moderation.rows import RowModeration, RowVerdict
from service.jobs.steps import Plan, TimedBatch, TimedScores, TimedTrial
from service.storage.checkpoint import Checkpoints, OtherVersion
from service.storage.objects import ObjectStore
from trial.recipe import Recipe

TRIGGER = Trigger("now \ud800", "end", "user", "complies", 9, 0.9, 0.1, 1e-9)
SCORES = Scores(
    detector="d",
    version="1",
    values=(0.1 + 0.2, None, 1.0),
    evidence=(Evidence("rule", "why", 0, (1, 2), "ex\x00\ud800"), None, None),
    categories=("malware", "", ""),
    unscored=("", "too long", ""),
    triggers=(TRIGGER,),
    risk=0.25,
)
BATCH = RowModeration(
    (RowVerdict(Verdict(True, 0.5, "malware", "S2"), turn=3), RowVerdict(None, "late")),
    Usage(1, 2, 3, 0.5),
)


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    return Checkpoints(ObjectStore(str(tmp_path)), "scr_1")


@pytest.mark.parametrize(
    "made",
    [
        TimedScores(0.1, SCORES),
        TimedBatch(0.2, BATCH),
        Plan(("a", "b"), True, "off", ""),
    ],
)
def test_a_record_comes_back_as_it_was(kept: Checkpoints, made: object) -> None:
    kept.put("x", made)
    assert kept.get("x", type(made)) == made


def test_a_trial_comes_back_as_it_was(kept: Checkpoints, runner: Any) -> None:
    recipe = Recipe(targets=("q", "v"), batch_size=None)
    done = runner.trial(Dataset("n", ()), recipe, 0.7)
    assert done.proof.loss_after == float("inf")
    kept.put("trial", TimedTrial(1.5, done))
    assert kept.get("trial", TimedTrial) == TimedTrial(1.5, done)


@pytest.mark.parametrize("content", [b"", b'{"seconds": 0.', b"\xff\xfe", b"[1]"])
def test_a_damaged_record_says_what_to_do(
    content: bytes, kept: Checkpoints, tmp_path: Path
) -> None:
    ObjectStore(str(tmp_path)).put("screenings/scr_1/x.json", content)
    with pytest.raises(OtherVersion, match="screen its dataset again"):
        kept.get("x", TimedScores)
