import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service import models as models_module
from service.cli import main
from service.envelope import load_signer
from service.models import Models

Said = pytest.CaptureFixture[str]
SEED = base64.b64encode(bytes(32)).decode()
OTHER = base64.b64encode(bytes([1]) * 32).decode()


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch, models: Models, runner: Any) -> None:
    """Screen with the fakes, and sign with the key of the environment."""
    monkeypatch.setattr(models_module, "load_models", lambda encoder: models)
    monkeypatch.setattr("trial.run.run_trial", runner)
    monkeypatch.setenv("TUNEGATE_CERTIFICATE_KEY", SEED)


@pytest.fixture
def key(capsys: Said, tmp_path: Path) -> Path:
    """Write the public key of the environment's key."""
    assert main(["certificate", "key"]) == 0
    out, err = capsys.readouterr()
    signer = load_signer(SEED)
    assert signer is not None
    assert err == f"key {signer.id}\n"
    path = tmp_path / "public.pem"
    path.write_text(out)
    return path


def verify(path: Path, key: Path) -> int:
    return main(["certificate", "verify", str(path), "--key", str(key)])


def test_a_certificate_is_written_and_verified_offline(
    write: Callable[..., Path], key: Path, capsys: Said, tmp_path: Path
) -> None:
    path, report = tmp_path / "new" / "certificate.json", tmp_path / "report.json"
    data = write("DRIFT", name="secretname.jsonl")
    argv = ["screen", str(data), "--report", str(report), "--certificate", str(path)]
    assert main(argv) == 3
    capsys.readouterr()
    assert verify(path, key) == 0
    out, err = capsys.readouterr()
    assert err.startswith("signed by ")
    said = json.loads(out)
    assert said["predicate"]["result"] == "FAILED"
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    assert said["subject"][0]["digest"]["sha256"] == digest
    kept = [e for e in said["predicate"]["configuration"] if e["name"] == "report"]
    assert (
        kept[0]["digest"]["sha256"] == hashlib.sha256(report.read_bytes()).hexdigest()
    )
    assert "secretname" not in out


def test_a_changed_certificate_is_not_verified_and_not_shown(
    write: Callable[..., Path], key: Path, capsys: Said, tmp_path: Path
) -> None:
    path = tmp_path / "certificate.json"
    main(["screen", str(write("DRIFT")), "--certificate", str(path)])
    capsys.readouterr()
    whole = json.loads(path.read_text())
    payload = base64.b64decode(whole["payload"]).replace(b"FAILED", b"PASSED")
    whole["payload"] = base64.b64encode(payload).decode()
    path.write_text(json.dumps(whole))
    assert verify(path, key) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "not verified: the key did not sign this" in err


def test_an_unsigned_certificate_is_said_to_be_so_and_not_verified(
    write: Callable[..., Path],
    key: Path,
    capsys: Said,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TUNEGATE_CERTIFICATE_KEY")
    path = tmp_path / "certificate.json"
    main(["screen", str(write()), "--certificate", str(path)])
    err = capsys.readouterr().err
    assert "not signed: TUNEGATE_CERTIFICATE_KEY is not set" in err
    assert verify(path, key) == 1
    assert "not signed" in capsys.readouterr().err
    assert main(["certificate", "key"]) == 1
    assert "TUNEGATE_CERTIFICATE_KEY is not set" in capsys.readouterr().err


def test_the_certificates_of_several_files_go_into_a_directory(
    write: Callable[..., Path], key: Path, tmp_path: Path
) -> None:
    files = [str(write(name=name)) for name in ("a.jsonl", "b.jsonl")]
    folder = tmp_path / "out"
    assert main(["screen", *files, "--certificate", str(folder)]) == 0
    found = sorted(folder.iterdir())
    assert [path.name for path in found] == [
        "01-a_jsonl.certificate.json",
        "02-b_jsonl.certificate.json",
    ]
    assert [verify(path, key) for path in found] == [0, 0]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["verify", "none.json", "--key", "KEY"], "none.json: No such file"),
        (["verify", "KEY", "--key", "KEY"], "not a DSSE envelope"),
        (["verify", "KEY", "--key", "none.pem"], "none.pem: No such file"),
        (["verify", "KEY", "--key", __file__], "expected an ed25519 public key"),
    ],
)
def test_what_cannot_be_verified_is_one_line_and_exit_1(
    key: Path, capsys: Said, argv: list[str], said: str
) -> None:
    given = [str(key) if each == "KEY" else each for each in argv]
    assert main(["certificate", *given]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_certificate_that_cannot_be_written_is_named_before_the_screening(
    write: Callable[..., Path], capsys: Said, runner: Any
) -> None:
    assert main(["screen", str(write()), "--certificate", "/dev/null/x"]) == 1
    assert "--certificate" in capsys.readouterr().err
    assert runner.recipes == []


def test_a_key_of_the_environment_that_is_none_is_named(
    write: Callable[..., Path], capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEGATE_CERTIFICATE_KEY", OTHER[:-8])
    assert main(["screen", str(write())]) == 1
    assert "TUNEGATE_CERTIFICATE_KEY" in capsys.readouterr().err
