"""A screening that nobody wants any more: its work stops, and nothing of it is left."""

import time
from collections.abc import Callable
from typing import Any

import pytest

V1 = "/v1/screenings"
SECONDS = 5.0
"""Work stops within these: an item of work that lingers, and the look after it."""

STAGES = pytest.mark.parametrize(
    ("stage", "count"), [("explicit_harm", 120), ("moderate", 80), ("tune", 8)]
)

pytestmark = pytest.mark.slow


@pytest.fixture
def options(options: dict[str, Any], moderated: dict[str, Any]) -> dict[str, Any]:
    # Nobody is taken for dead here, whatever else the machine does.
    return {**options, **moderated, "lease_seconds": 30.0}


@pytest.fixture
def at_work(drill: Any) -> Callable[[str, int], str]:
    """Return a function that submits rows, and returns once a stage is at them."""

    def submit(stage: str, count: int) -> str:
        said = [f"LINGER IN {stage} {number}" for number in range(count)]
        id_: str = drill.service.submit_rows(said)
        drill.wait(lambda: any(x.stage == stage for x in drill.log.lines(id_)))
        return id_

    return submit


def folder(drill: Any, id_: str) -> list[str]:
    found: list[str] = drill.kept.store.objects.keys(f"screenings/{id_}")
    return found


def await_stop(drill: Any, id_: str, stage: str) -> None:
    """Wait until the process has left a screening, for another that is submitted."""
    began = time.monotonic()
    other = drill.service.submit_rows(["Where is my parcel?"])
    drill.wait(lambda: any(x.stage == stage for x in drill.log.lines(other)), 20)
    assert time.monotonic() - began < SECONDS
    known = drill.log.lines(id_)
    drill.until_ended()
    assert drill.log.lines(id_) == known
    assert "report" not in {line.stage for line in known}


@STAGES
def test_the_work_on_a_cancelled_screening_stops_and_its_folder_goes_with_it(
    drill: Any, at_work: Callable[[str, int], str], stage: str, count: int
) -> None:
    id_ = at_work(stage, count)
    said = drill.service.ask("POST", f"{V1}/{id_}/cancel").json()
    assert (said["status"], said["fault"]["code"]) == ("failed", "cancelled")
    await_stop(drill, id_, stage)
    assert folder(drill, id_)
    assert drill.service.ask("DELETE", f"{V1}/{id_}").status_code == 204
    assert folder(drill, id_) == []


@STAGES
def test_nothing_is_left_of_a_screening_that_is_deleted_while_it_is_worked_on(
    drill: Any, at_work: Callable[[str, int], str], stage: str, count: int
) -> None:
    id_ = at_work(stage, count)
    drill.wait(lambda: folder(drill, id_))
    assert drill.service.ask("DELETE", f"{V1}/{id_}").status_code == 204
    await_stop(drill, id_, stage)
    assert folder(drill, id_) == []
