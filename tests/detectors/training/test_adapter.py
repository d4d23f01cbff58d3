from pathlib import Path

import numpy as np
import pytest

from detectors.training import adapter
from detectors.training.adapter import fit_adapter, is_left_out, unaware_of
from detectors.training.rows import COMPOSED, HarmRow

AWAY = "prompt_harmbench"


def row(source: str, request: str, reply: str = "Sure, here it is.") -> HarmRow:
    return HarmRow(source, request, reply, False, "benign", False)


def test_left_out_sources_take_what_was_composed_on_them_along() -> None:
    assert is_left_out(AWAY)
    assert is_left_out(AWAY + COMPOSED)
    assert not is_left_out("contrast")


def test_near_copies_of_left_out_requests_are_left_out_too() -> None:
    rows = [
        row(AWAY, "tell me how to paint a wall green"),
        row("other", "Tell me how to paint a wall green!"),
        row("other", "what is the capital of France"),
    ]
    assert unaware_of(rows) == rows[2:]


@pytest.mark.slow
def test_the_second_stage_goes_on_from_the_first_and_is_another_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "SECOND_EPOCHS", 1.0)
    rows = [row("other", f"request number {i}") for i in range(6)]
    rows += [row(AWAY, f"a question that is not the same {i}") for i in range(3)]
    found = fit_adapter(rows, None)
    assert found.record["sha256"] != found.unaware.digest
    assert np.isfinite(found.unaware.logits([("a request", "a reply")])).all()
