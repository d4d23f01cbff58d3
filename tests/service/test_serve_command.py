"""`tunegate serve` that cannot start: one line, and exit 1, since 3 means REJECT."""

import logging
import socket
from pathlib import Path

import pytest

from service.cli import main

DATABASE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Serve without models, and leave the logs to `caplog`."""
    monkeypatch.setattr("service.telemetry.logs.set_up_logs", lambda settings: None)
    for name in ("uvicorn", "uvicorn.error"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    monkeypatch.setenv("TUNEGATE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TUNEGATE_QUEUES", "[]")
    monkeypatch.setenv("TUNEGATE_SCAN_MAX_ROWS", "0")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ENCRYPTION_KEYS": "abc"}, "setting TUNEGATE_ENCRYPTION_KEYS: expected 32"),
        ({"CERTIFICATE_KEY": "abc"}, "setting TUNEGATE_CERTIFICATE_KEY: expected an"),
        ({"DATABASE_URL": DATABASE}, "database postgresql"),
        ({"JUDGE": "guard", "QUEUES": '["trial"]'}, "set TUNEGATE_JUDGE_MODEL to"),
        ({"JUDGE": "guard", "SCAN_MAX_ROWS": "1"}, "set TUNEGATE_JUDGE_MODEL to"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_1(
    given: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"TUNEGATE_{name}", value)
    assert main(["serve", "--port", "0"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"tunegate: error: {said}")
    assert err.count("\n") == 1
    assert "Traceback" not in caplog.text


def test_a_port_that_is_taken_is_exit_1(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["serve", "--host", "127.0.0.1", "--port", port]) == 1
    assert "address already in use" in caplog.text
