"""The record of one measurement: what ran, on what, over which data, what came."""

import hashlib
import json
import os
import platform
import subprocess  # nosec B404
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = ROOT / "benchmark" / "results"
PACKAGES: Final = (
    "numpy",
    "peft",
    "safetensors",
    "scikit-learn",
    "sentence-transformers",
    "torch",
    "transformers",
)


@dataclass(frozen=True)
class RunRecord:
    """A measurement that can be repeated: `command` with `config` at `git_sha`.

    `dirty` says that files under version control differed from `git_sha`. `data` maps
    file names to sha256; `seconds` is wall time; `results` is what was measured.
    """

    name: str
    command: str
    git_sha: str
    dirty: bool
    packages: Mapping[str, str]
    hardware: Mapping[str, str | int]
    data: Mapping[str, str]
    config: Mapping[str, Any]
    seconds: float
    results: Mapping[str, Any]

    def write(self, directory: Path = RESULTS) -> Path:
        """Write NAME.json; NaN and infinity are refused, they are not JSON."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.name}.json"
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")
        return path


def record(
    name: str,
    *,
    command: str,
    data: Sequence[Path],
    config: Mapping[str, Any],
    seconds: float,
    results: Mapping[str, Any],
) -> RunRecord:
    """Join a result with the state of the code, the packages and the machine."""
    sha, dirty = git_state()
    return RunRecord(
        name=name,
        command=command,
        git_sha=sha,
        dirty=dirty,
        packages=package_versions(),
        hardware=hardware(),
        data={path.name: file_digest(path) for path in sorted(data)},
        config=config,
        seconds=round(seconds, 1),
        results=results,
    )


def git_state(root: Path = ROOT) -> tuple[str, bool]:
    """Commit of the working tree and whether tracked files differ from it.

    ("", True) outside a repository: what cannot be named counts as changed.
    """
    try:
        sha = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "", True
    mine = [line for line in changed.splitlines() if "benchmark/results/" not in line]
    return sha, bool(mine)


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(  # nosec B603 B607  # our own words, by the PATH
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def package_versions() -> dict[str, str]:
    """Installed versions; "" where a package is not installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def hardware() -> dict[str, str | int]:
    """Machine architecture, processor, cores, and GPU where there is one."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
    able = torch.cpu.get_capabilities()
    return {
        "machine": platform.machine(),
        "processor": str(able.get("cpu_name", "")),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "gpu": gpu,
    }


def file_digest(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
