"""Look the pinned versions up among known vulnerabilities, or say that none could be.

An index of packages may hold no vulnerabilities: then every lookup finds nothing. So a
release that is known to be vulnerable is looked up first: only where that is found
does finding nothing say anything. Exit 1 where a pinned version is vulnerable, or where
the installed versions are not the pinned ones.
"""

import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

PINS = Path(__file__).parents[1] / "constraints.txt"
KNOWN = "jinja2==3.1.2"
"""CVE-2024-22195."""


def audit(requirements: str) -> list[str] | None:
    """Return the known vulnerabilities of pinned packages; None where none is known."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", "-r", file.name, "--no-deps",
             "--disable-pip", "--progress-spinner=off", "--format=json"],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:  # nothing could be reached
        return None
    return [
        f"{each['name']} {each['version']}: {', '.join(v['id'] for v in each['vulns'])}"
        for each in found
        if each.get("vulns")
    ]


def name_of(text: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", text).lower()


def strays(pins: str) -> list[str]:
    """Return what is installed and not pinned, or in another version."""
    lines = [line for line in pins.splitlines() if "==" in line]
    pinned = dict(line.split("==") for line in lines)
    wanted = {name_of(name): version for name, version in pinned.items()}
    found = []
    for each in distributions():
        name, version = name_of(each.metadata["Name"]), each.version.split("+")[0]
        if name != "tunegate" and wanted.get(name) != version:
            found.append(f"{name} {version}: pinned is {wanted.get(name, 'nothing')}")
    return sorted(found)


def main() -> int:
    """Audit, and print what came of it."""
    pins = PINS.read_text("utf-8")
    wrong = strays(pins)
    if audit(KNOWN):
        wrong += audit(pins) or []
        print("audited: known vulnerabilities of the pinned versions")
    else:
        print(
            "NOT AUDITED: no database of vulnerabilities can be reached from here; "
            "checked is only that what is installed is what is pinned"
        )
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
