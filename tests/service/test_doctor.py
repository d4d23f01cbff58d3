import io
from dataclasses import dataclass
from typing import Any

import pytest
from rich.console import Console

from detectors.errors import DigestMismatch, ModelError
from service import doctor
from service.doctor import examine, print_examination
from service.models import Models
from service.settings import Settings


@dataclass
class FakeBase:
    name: str = "canary"
    device: str = "cpu"
    digest: str = "c" * 64


@pytest.fixture(autouse=True)
def healthy(monkeypatch: pytest.MonkeyPatch, models: Models) -> None:
    monkeypatch.setattr(doctor, "load_encoder", lambda name: models.encoder)
    monkeypatch.setattr(doctor, "load_detectors", lambda encoder: models.detectors)
    monkeypatch.setattr("trial.base_model.load_base", lambda name: FakeBase())


def text_of(found: Any) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_examination(found, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_a_sound_installation_passes_every_check() -> None:
    found = examine(Settings())
    assert found.right
    text = text_of(found)
    assert "WRONG" not in text
    for said in ("package torch", "bf16", "e" * 64, "c" * 64, "detector explicit_harm"):
        assert said in text


@pytest.mark.parametrize(
    ("place", "error", "named"),
    [
        ("service.doctor.load_encoder", DigestMismatch("weights differ"), "encoder"),
        ("service.doctor.load_detectors", ModelError("no heads"), "detectors"),
        ("trial.base_model.load_base", ModelError("no canary"), "base model canary"),
    ],
)
def test_what_is_wrong_is_named(
    monkeypatch: pytest.MonkeyPatch, place: str, error: Exception, named: str
) -> None:
    def broken(name: object) -> None:
        raise error

    monkeypatch.setattr(place, broken)
    found = examine(Settings())
    assert not found.right
    line = next(line for line in text_of(found).splitlines() if "WRONG" in line)
    assert named in line
    assert str(error) in line


def test_a_package_that_is_missing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "package_versions", lambda: {"peft": "not installed"})
    assert not examine(Settings()).right


def test_an_unreadable_policy_is_wrong(tmp_path: Any) -> None:
    found = examine(Settings(policy=tmp_path / "none.yaml"))
    assert [check.name for check in found.checks if not check.right] == ["policy"]


def test_a_provider_that_gets_no_rows_is_told() -> None:
    text = text_of(examine(Settings(moderation_provider="local")))
    assert "; the provider local moderates no rows" in text
    assert "moderation.rows" in text
