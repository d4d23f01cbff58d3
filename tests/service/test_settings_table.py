from pathlib import Path

import pytest

from service.cli import main
from service.settings import Settings
from service.settings_table import settings_table

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_of_settings_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == settings_table()


def test_every_setting_says_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings"]) == 0
    said = capsys.readouterr().out
    for name, field in Settings.model_fields.items():
        assert f"`TUNEGATE_{name.upper()}`" in said
        assert field.description, name
