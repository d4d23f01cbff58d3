from pathlib import Path

import pytest

from detectors.errors import InputError
from service.settings import Settings, load_settings


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_PORT", "9001")
    monkeypatch.setenv("TUNEGATE_ALLOWED_BASE_MODELS", '["canary", "org/model"]')
    monkeypatch.setenv("TUNEGATE_DATA_DIR", "kept")
    settings = load_settings()
    assert settings.port == 9001
    assert settings.allowed_base_models == ("canary", "org/model")
    assert settings.data_dir == Path("kept")


def test_what_is_given_outranks_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUNEGATE_PORT", "9001")
    assert load_settings(port=9002).port == 9002


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "99999"), ("MAX_ROWS", "0"), ("RUN_TRIAL", "perhaps")],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"TUNEGATE_{name}", value)
    with pytest.raises(InputError, match=f"TUNEGATE_{name}: "):
        load_settings()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("TUNEGATE_AUHT", "TUNEGATE_AUTH"),
        ("TUNEGATE_ENCRYPTION_KEY", "TUNEGATE_ENCRYPTION_KEYS"),
        ("tunegate_polcy", "TUNEGATE_POLICY"),
        ("TUNEGATE_METRIC_PORT", "TUNEGATE_METRICS_PORT"),
    ],
)
def test_a_misspelt_setting_is_named_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, name: str, near: str
) -> None:
    monkeypatch.setenv(name, "9")
    with pytest.raises(InputError, match=f"{name.upper()}: .* {near}$"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TUNEGATE_CI", "1"),
        ("TUNEGATE_TEST_POSTGRES", "postgresql://x"),
        ("tunegate_port", "9001"),
        ("TUNEGATE_API_SERVICE_HOST", "10.0.0.1"),
        ("TUNEGATE_API_PORT", "tcp://10.0.0.1:80"),
        ("TUNEGATE_API_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("OTHER", "x"),
    ],
)
def test_what_is_meant_for_others_is_let_be(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert load_settings().port == (9001 if name == "tunegate_port" else 8000)


def test_a_list_that_is_not_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_ALLOWED_BASE_MODELS", "canary,")
    with pytest.raises(InputError, match="ALLOWED_BASE_MODELS: expected JSON"):
        load_settings()


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_the_reader_is_held_to_the_limits_of_the_settings() -> None:
    limits = load_settings(max_upload_bytes=5, max_rows=6, max_row_chars=7).limits()
    assert (limits.max_bytes, limits.max_rows, limits.max_row_chars) == (5, 6, 7)
