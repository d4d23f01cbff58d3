"""The provider that the settings name is loaded, or they say what to set."""

from pathlib import Path
from typing import Any

import pytest

from detectors.errors import InputError
from detectors.moderation.off import Off
from service import doctor
from service.api.app import create_app
from service.doctor import examine
from service.models import Models
from service.moderator import check_moderator, load_moderator
from service.settings import Settings

KEY = "sk-very-secret"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"moderation_provider": "openai"}, "MODERATION_API_KEY"),
        ({"moderation_provider": "guard"}, "MODERATION_BASE_URL"),
        (
            {"moderation_provider": "guard", "moderation_base_url": "http://h/v1"},
            "name the model",
        ),
        (
            {"moderation_provider": "guard", "moderation_guard": "gatekeeper"},
            "choose one of llama_guard, qwen3guard, wildguard",
        ),
    ],
)
def test_settings_that_cannot_work_say_what_to_set(
    given: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        check_moderator(Settings(**given))  # type: ignore[arg-type]  # fields of several types
    with pytest.raises(InputError, match=said):
        create_app(Settings(**given))  # type: ignore[arg-type]  # fields of several types


def test_every_provider_of_the_settings_can_be_loaded(
    models: Models, tmp_path: Path
) -> None:
    path = tmp_path / "cache.sqlite"
    given: dict[str, Any] = {
        "moderation_base_url": "http://localhost:8001/v1",
        "moderation_model": "m",
        "moderation_cache": path,
    }
    names = {
        kind: load_moderator(
            Settings(moderation_provider=kind, **given), models.detectors
        ).name
        for kind in ("off", "openai", "guard", "local")
    }
    assert names == {
        "off": "off",
        "openai": "openai",
        "guard": "guard.llama_guard",
        "local": "local",
    }
    assert path.exists()
    with pytest.raises(InputError, match="needs the detector explicit_harm"):
        load_moderator(Settings(moderation_provider="local"), [])
    assert isinstance(load_moderator(Settings(), []), Off)


def test_the_key_is_shown_nowhere() -> None:
    given = {"moderation_provider": "openai", "moderation_api_key": KEY}
    settings = Settings(**given)  # type: ignore[arg-type]  # fields of several types
    told = check_moderator(settings)
    assert "api.openai.com with a key" in told
    assert KEY not in told + repr(settings) + settings.model_dump_json()


def test_the_doctor_checks_the_settings_without_asking_the_provider(
    monkeypatch: pytest.MonkeyPatch, models: Models, provider: Any
) -> None:
    monkeypatch.setattr(doctor, "load_encoder", lambda name: models.encoder)
    monkeypatch.setattr(doctor, "load_detectors", lambda encoder: models.detectors)
    monkeypatch.setattr(doctor, "_base", lambda settings: "a base")
    given = {
        "moderation_provider": "openai",
        "moderation_base_url": provider.url,
        "moderation_api_key": KEY,
    }
    found = examine(Settings(**given))  # type: ignore[arg-type]  # fields of several types
    (check,) = [c for c in found.checks if c.name == "moderation"]
    assert check.right
    assert "omni-moderation-latest at 127.0.0.1" in check.detail
    assert provider.asked == []
    wrong = examine(Settings(moderation_provider="guard"))
    assert [c.name for c in wrong.checks if not c.right] == ["moderation"]
