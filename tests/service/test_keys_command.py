from pathlib import Path

import pytest
from sqlalchemy import text

from service.cli import main
from service.jobs.backend import open_backend
from service.settings import Settings
from service.storage.keys import KEY

Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNEGATE_DATA_DIR", str(tmp_path))
    return tmp_path


def create(capsys: Said, *more: str) -> str:
    assert main(["keys", "create", "--tenant", "acme", *more]) == 0
    return capsys.readouterr().out.strip()


def listed(capsys: Said, *more: str) -> list[list[str]]:
    assert main(["keys", "list", *more]) == 0
    head, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert head == ["ID", "TENANT", "SCOPES", "STATE", "UNTIL", "LAST USED", "NAME"]
    return rows


def test_a_key_is_made_listed_rotated_and_revoked(capsys: Said) -> None:
    text = create(capsys, "--scopes", "read,review", "--days", "3", "--name", "ci")
    match = KEY.fullmatch(text)
    assert match is not None
    [row] = listed(capsys)
    assert row[:4] == [match["id"], "acme", "read,review", "good"]
    assert row[5:] == ["never", "ci"]
    assert match["secret"] not in "".join(row)
    assert listed(capsys, "--tenant", "other") == []
    assert main(["keys", "rotate", match["id"], "--grace-hours", "0"]) == 0
    new = KEY.fullmatch(capsys.readouterr().out.strip())
    assert new is not None
    assert main(["keys", "revoke", new["id"]]) == 0
    assert [row[3] for row in listed(capsys)] == ["ended", "ended"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["keys", "create", "--tenant", "A B"],
        ["keys", "create", "--scopes", "root"],
        ["keys", "create", "--days", "0"],
        ["keys", "rotate", "000000000000"],
        ["keys", "revoke", "x"],
    ],
)
def test_what_cannot_be_done_to_keys_is_said(wrong: list[str], capsys: Said) -> None:
    assert main(wrong) == 1
    assert capsys.readouterr().err.startswith("tunegate: error: ")


def test_the_record_is_verified(capsys: Said, folder: Path) -> None:
    create(capsys)
    assert main(["audit", "verify"]) == 0
    head = capsys.readouterr().out.split()[-1]
    assert main(["audit", "verify", "--head", head]) == 0
    assert main(["audit", "verify", "--head", "f" * 64]) == 1
    capsys.readouterr()
    backend = open_backend(Settings(data_dir=folder))
    with backend.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER audit_events_no_update"))
        connection.execute(text("UPDATE audit_events SET tenant = 'other'"))
    backend.close()
    assert main(["audit", "verify"]) == 1
    assert "broken at event 1" in capsys.readouterr().err
