import hashlib
import json
import subprocess

import pytest

from benchmark.records.experiment import git_state, record


def test_a_record_names_code_packages_machine_and_data(tmp_path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_bytes(b"{}\n")
    done = record(
        "trial_run",
        command="python -m x",
        data=[data],
        config={"n": 3},
        seconds=1.26,
        results={"auroc": 0.5},
    )
    kept = json.loads(done.write(tmp_path / "out").read_text())
    assert kept["data"] == {"rows.jsonl": hashlib.sha256(b"{}\n").hexdigest()}
    assert kept["packages"]["numpy"]
    assert kept["hardware"]["cores"] >= 1
    assert kept["seconds"] == 1.3
    assert kept["results"] == {"auroc": 0.5}


def test_a_result_that_is_not_a_number_is_refused(tmp_path) -> None:
    done = record(
        "bad", command="", data=[], config={}, seconds=0, results={"x": float("nan")}
    )
    with pytest.raises(ValueError, match="JSON"):
        done.write(tmp_path)


def git(root, *arguments: str) -> None:
    name = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(root), *name, *arguments], check=True)


def test_a_changed_tracked_file_makes_the_record_dirty(tmp_path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-qm", "one")
    sha, dirty = git_state(tmp_path)
    assert len(sha) == 40
    assert not dirty
    (tmp_path / "a.py").write_text("2")
    assert git_state(tmp_path) == (sha, True)


def test_outside_a_repository_counts_as_dirty(tmp_path) -> None:
    assert git_state(tmp_path) == ("", True)
