"""What is wrong with one row, raised inside the reader and returned as a BadLine."""

from detectors.dataset import BadLine

SHOWN_CHARS = 60


class RowFault(Exception):
    """One row cannot be read. Never leaves the reader: it becomes a BadLine.

    `code` is stable, `field` a path inside the row, `expected` and `found` words.
    """

    def __init__(self, code: str, field: str, expected: str, found: str = "") -> None:
        super().__init__(code, field, expected, found)
        self.code = code
        self.field = field
        self.expected = expected
        self.found = found

    def at(self, line: int) -> BadLine:
        """Return the fault as a BadLine of the given 1-based line."""
        return BadLine(line, self.code, self.field, self.expected, self.found)


def shown(value: object) -> str:
    """Name a hostile value in at most about SHOWN_CHARS printable ASCII characters."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        text = ascii(value[: SHOWN_CHARS + 1])
        return text if len(text) <= SHOWN_CHARS + 2 else text[:SHOWN_CHARS] + "...'"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return ascii(value)[:SHOWN_CHARS] if _printable(value) else "a huge number"
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else f"a {type(value).__name__} value"


def _printable(value: float) -> bool:
    return not isinstance(value, int) or abs(value) < 10**SHOWN_CHARS
