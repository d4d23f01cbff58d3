"""What `make check-security` says where it can look things up, and where it cannot."""

import importlib.util
import json
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).parents[1] / ".ci" / "audit.py"


@pytest.fixture
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", PATH)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def answers(monkeypatch: pytest.MonkeyPatch, audit: Any, **said: str) -> None:
    """Have pip-audit answer by what it is asked: a word of the file -> its output."""

    def run(command: list[str], **_: Any) -> Any:
        asked = Path(command[command.index("-r") + 1]).read_text()
        output = next((v for k, v in said.items() if k in asked), "")
        return subprocess.CompletedProcess(command, 1, output, "")

    monkeypatch.setattr(audit.subprocess, "run", run)
    monkeypatch.setattr(audit, "strays", lambda _: [])


def found(name: str, *ids: str) -> str:
    vulns = [{"id": each} for each in ids]
    entry = {"name": name, "version": "1", "vulns": vulns}
    return json.dumps({"dependencies": [entry]})


def test_a_vulnerable_pin_fails(
    audit: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = found("jinja2", "CVE-2024-22195")
    answers(monkeypatch, audit, torch=found("torch", "CVE-1"), jinja2=known)
    assert audit.main() == 1
    assert "torch 1: CVE-1" in capsys.readouterr().out


@pytest.mark.parametrize("said", ["", found("jinja2")])
def test_an_index_that_knows_no_vulnerability_is_no_audit(
    audit: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    said: str,
) -> None:
    answers(monkeypatch, audit, jinja2=said)
    assert audit.main() == 0
    assert "NOT AUDITED" in capsys.readouterr().out


def test_what_is_installed_in_another_version_is_named(audit: Any) -> None:
    pins = PATH.parents[1].joinpath("constraints.txt").read_text("utf-8")
    here = f"fastapi=={version('fastapi')}"
    assert not any(each.startswith("fastapi ") for each in audit.strays(pins))
    other = audit.strays(pins.replace(here, "fastapi==0.1"))
    assert f"fastapi {version('fastapi')}: pinned is 0.1" in other
