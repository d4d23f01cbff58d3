"""A trial that takes too long ends as not measured, and the outcome is REVIEW."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from detectors.errors import TrialError
from service.api.app import create_app
from service.jobs.trial_limit import limit_trial
from service.models import Models
from service.settings import Settings

V1 = "/v1/screenings"


@pytest.fixture
def hasty(settings: Settings, models: Models, runner: Any) -> Iterator[TestClient]:
    """Serve trials of at most a fifth of a second."""
    asked = settings.model_copy(update={"max_trial_seconds": 0.2})
    with TestClient(create_app(asked, load=lambda: models, runner=runner)) as client:
        yield client


def test_a_trial_over_its_limit_is_for_review(
    hasty: TestClient, row: Any, wait: Callable[..., None]
) -> None:
    began = time.monotonic()
    made = hasty.post(V1, json={"rows": [row("FOREVER")]}).json()
    here = made["links"]["self"]
    wait(lambda: hasty.get(here).json()["status"] == "finished")
    assert time.monotonic() - began < 20
    report = hasty.get(made["links"]["report"]).json()
    assert report["decision"]["outcome"] == "REVIEW"
    assert "0.2 seconds that it may" in str(report["decision"]["reasons"])
    assert report["drift"]["measured"] is False


def test_a_trial_within_its_limit_is_as_ever(
    hasty: TestClient, row: Any, wait: Callable[..., None]
) -> None:
    made = hasty.post(V1, json={"rows": [row()] * 20}).json()
    here = made["links"]["self"]
    wait(lambda: hasty.get(here).json()["status"] == "finished")
    assert hasty.get(here).json()["outcome"] == "ACCEPT"


def test_the_limit_is_looked_at_wherever_progress_is_told() -> None:
    now, told = [0.0], []

    def runner(*_: object, progress: Any, **rest: Any) -> Any:
        for step in range(10):
            now[0] += 1.0
            progress("tune", step, 10)

    limited: Any = limit_trial(runner, 3.5, clock=lambda: now[0])  # type: ignore[arg-type]
    with pytest.raises(TrialError, match=r"longer than the 3\.5 seconds"):
        limited(None, None, encoder=None, progress=lambda *each: told.append(each))
    assert len(told) == 4
    assert limit_trial(runner, 0.0) is runner  # type: ignore[arg-type,comparison-overlap]
