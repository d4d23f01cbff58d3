"""The bounds a hostile file is held to."""

from dataclasses import dataclass

from detectors.errors import DatasetError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may cost to read.

    Over `max_bytes` (as uploaded, and again once decompressed), `max_rows` or
    `max_decompression_ratio` the whole file is refused with a DatasetError; over
    `max_row_chars` (characters of the row as written) or `max_nesting` (brackets within
    brackets) the row becomes a BadLine. `max_bad_lines` bounds how many BadLines a
    Dataset keeps; all are counted. `free_bytes` may always be decompressed, whatever
    the ratio: short repetitive files compress very well.
    """

    max_bytes: int = 512 * 2**20
    max_rows: int = 1_000_000
    max_row_chars: int = 1_000_000
    max_nesting: int = 64
    max_decompression_ratio: float = 200.0
    max_bad_lines: int = 1_000
    free_bytes: int = 16 * 2**20

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, not {getattr(self, name)}"
                )

    @property
    def max_row_bytes(self) -> int:
        """Bytes that `max_row_chars` characters of UTF-8 can take."""
        return 4 * self.max_row_chars


def check_unpacked_size(part: str, packed: int, plain: int, limits: Limits) -> None:
    """Raise DatasetError where a part of a table ("row group") unpacks like a bomb."""
    ratio = limits.max_decompression_ratio
    bomb = plain > limits.free_bytes and plain > ratio * packed
    if bomb or plain > limits.max_bytes:
        raise DatasetError(
            f"a {part} of the table decompresses from {packed} to {plain} bytes, "
            f"over {limits.max_bytes} bytes or {ratio:g} times its size; write it "
            "uncompressed, or in smaller parts"
        )
