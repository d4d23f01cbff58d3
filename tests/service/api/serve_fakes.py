"""Serves with the fake models and trial of `fakes`, as the environment sets it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from service.api.app import create_app
from service.api.server import serve
from service.models import Models
from service.policy import DetectorLimits
from service.settings import load_settings
from tests.service.fakes import (
    MARKED,
    FakeEncoder,
    FakeRunner,
    MarkDetector,
    QuietDetector,
)


def models() -> Models:
    """Return the fakes."""
    detectors = tuple(
        MarkDetector(name, "BAD") if name in MARKED else QuietDetector(name, "")
        for name in DetectorLimits.model_fields
    )
    return Models(FakeEncoder(), detectors)  # type: ignore[arg-type]


if __name__ == "__main__":
    settings = load_settings()
    serve(create_app(settings, load=models, runner=FakeRunner()), settings)
