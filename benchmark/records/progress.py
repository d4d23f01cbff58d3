"""Results of a long measurement, a line each, so that it can be taken up again."""

import json
from pathlib import Path
from typing import Any


class Progress:
    """JSON lines by key, for one state of code and data (`stamp`).

    Lines of another stamp are left out: a measurement of a changed detector starts
    anew. A half-written last line, as a crash leaves, is dropped.
    """

    def __init__(self, path: Path, stamp: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._stamp = stamp
        self._found: dict[str, dict[str, Any]] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._take(line)

    def _take(self, line: str) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            return
        if entry.get("stamp") == self._stamp:
            self._found[entry["key"]] = entry["result"]

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the result of a key, or None where it is still to be measured."""
        return self._found.get(key)

    def put(self, key: str, result: dict[str, Any]) -> None:
        """Write a result at once."""
        entry = {"stamp": self._stamp, "key": key, "result": result}
        text = json.dumps(entry, allow_nan=False)
        whole = not self._path.is_file() or self._ends_a_line()
        with self._path.open("a", encoding="utf-8") as file:
            file.write(("" if whole else "\n") + text + "\n")
        self._found[key] = result

    def _ends_a_line(self) -> bool:
        content = self._path.read_bytes()
        return not content or content.endswith(b"\n")
