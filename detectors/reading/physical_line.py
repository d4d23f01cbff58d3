"""Physical lines out of blocks of bytes, each bounded, whatever the file does."""

from collections.abc import Iterator
from dataclasses import dataclass

from detectors.errors import DatasetError
from detectors.reading.bytestream import StreamFault
from detectors.reading.limits import Limits


@dataclass(frozen=True, slots=True)
class PhysicalLine:
    """One line without its newline.

    `cut` is True where it was over the limit: `data` is then empty, the rest of the
    line was skipped. `fault` is set where the bytes broke off within or before it.
    """

    number: int
    data: bytes
    cut: bool = False
    fault: StreamFault | None = None


def physical_lines(blocks: Iterator[bytes], max_bytes: int) -> Iterator[PhysicalLine]:
    r"""Split at \n alone; numbers are 1-based; never holds more than one line."""
    gathered = _Gathering(max_bytes)
    try:
        for block in blocks:
            start = 0
            while (end := block.find(b"\n", start)) >= 0:
                gathered.add(block[start:end])
                yield gathered.finish()
                start = end + 1
            gathered.add(block[start:])
    except StreamFault as fault:
        yield PhysicalLine(gathered.number, b"", fault=fault)
        return
    if gathered.size:
        yield gathered.finish()


class BlankLines:
    """Counts the lines between rows: they take time, and no other limit counts them."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.max_rows
        self._seen = 0

    def add(self) -> None:
        """Count one more; DatasetError where they are more than rows may be."""
        self._seen += 1
        if self._seen > self._most:
            raise DatasetError(
                f"the file has more than {self._most} blank lines; take them out"
            )


class _Gathering:
    """The line being read: its parts, or only its size once over the limit."""

    def __init__(self, max_bytes: int) -> None:
        self.number = 1
        self.size = 0
        self._parts: list[bytes] = []
        self._max_bytes = max_bytes

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if self.size > self._max_bytes:
            self._parts.clear()
        elif part:
            self._parts.append(part)

    def finish(self) -> PhysicalLine:
        cut = self.size > self._max_bytes
        line = PhysicalLine(self.number, b"".join(self._parts), cut)
        self.number += 1
        self.size = 0
        self._parts.clear()
        return line
