"""What README, Dockerfile and CI say is true of the code beside them."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from service.api.app import create_app
from service.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


@pytest.fixture(scope="module")
def paths() -> set[str]:
    return set(create_app(Settings()).openapi()["paths"])


def test_every_curl_line_names_a_path_that_is_served(paths: set[str]) -> None:
    asked = re.findall(r"localhost:8000(/[^\s\"?]*)", README)
    assert len(asked) >= 5
    for path in asked:
        assert path.replace("$id", "{screening_id}") in paths, path
    assert "/healthz" in paths
    assert "/healthz" in DOCKERFILE


def test_every_make_target_and_file_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for text in (README, (ROOT / "CONTRIBUTING.md").read_text("utf-8")):
        for target in re.findall(r"(?:`|    )make ([a-z-]+)", text):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
        for name in re.findall(r"(?:examples|design|tests|\.ci)/[\w./-]*", text):
            assert (ROOT / name.rstrip(".")).exists(), name


def test_the_readme_fits_one_screen_and_speaks_plainly() -> None:
    assert len(README.splitlines()) <= 80


def test_torch_is_pinned_to_one_version_everywhere() -> None:
    pins = {
        name: set(re.findall(r"torch==([\d.]+\d)", (ROOT / name).read_text("utf-8")))
        for name in ("Makefile", "Dockerfile", "constraints.txt")
    }
    assert len(set.union(*pins.values())) == 1, pins


def test_the_image_installs_what_the_project_declares_as_a_user_without_rights() -> (
    None
):
    assert DOCKERFILE.count("FROM ") == 2
    assert DOCKERFILE.index("USER tunegate") < DOCKERFILE.index("HEALTHCHECK")
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    for name in packages:
        assert f"!{name.rstrip('*')}" in ignored
    assert f"!{project['project']['readme']}" in ignored


def test_ci_runs_the_checks_and_then_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True)
    lines = script.read_text("utf-8").splitlines()
    assert "set -euo pipefail" in lines
    assert lines[-2:] == ["make check", "make test"]


def test_the_licence_is_the_one_that_is_declared() -> None:
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text("utf-8")
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")
