import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = ("detectors", "trial", "service", "benchmark")
SERVICE_ONLY = {"fastapi", "pydantic", "pydantic_settings", "sqlalchemy", "dbos"}


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("layer", ORDER)
def test_a_layer_imports_only_those_below_it(layer: str) -> None:
    above = set(ORDER[ORDER.index(layer) + 1 :])
    files = list((ROOT / layer).rglob("*.py"))
    assert files
    for path in files:
        assert not imports(path) & above, path


@pytest.mark.parametrize("layer", ["detectors", "trial"])
def test_the_web_stack_stays_in_service(layer: str) -> None:
    for path in (ROOT / layer).rglob("*.py"):
        assert not imports(path) & SERVICE_ONLY, path


def test_everything_imported_is_declared_or_standard() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    declared = project.lower().replace("-", "_")
    alias = {
        "yaml": "pyyaml",
        "sklearn": "scikit_learn",
        "multipart": "python_multipart",
        "jwt": "pyjwt",
    }
    for layer in ORDER:
        for path in (ROOT / layer).rglob("*.py"):
            for name in imports(path) - set(sys.stdlib_module_names) - set(ORDER):
                assert alias.get(name, name).lower() in declared, (path, name)
