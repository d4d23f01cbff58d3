"""What a file format yields: parsed rows with their line, or BadLines."""

from dataclasses import dataclass

from detectors.dataset import BadLine
from detectors.reading.bytestream import StreamFault


@dataclass(frozen=True, slots=True)
class Record:
    """One parsed row and the 1-based line (or row) at which it began."""

    line: int
    value: object


def broken_off(line: int, fault: StreamFault) -> BadLine:
    """Return the BadLine that stands for everything from `line` on."""
    return BadLine(line, fault.code, "", "readable data to the end", fault.detail)
