"""JSONL: one JSON value a line, blank lines skipped."""

from collections.abc import Iterator

from detectors.dataset import BadLine
from detectors.reading.fault import RowFault
from detectors.reading.jsontext import parse_json, too_long
from detectors.reading.limits import Limits
from detectors.reading.physical_line import BlankLines, physical_lines
from detectors.reading.record import Record, broken_off


def jsonl_records(
    blocks: Iterator[bytes], limits: Limits
) -> Iterator[Record | BadLine]:
    """Yield one Record or BadLine for every line that is not blank."""
    blank = BlankLines(limits)
    for line in physical_lines(blocks, limits.max_row_bytes):
        if line.fault:
            yield broken_off(line.number, line.fault)
        elif line.cut:
            yield too_long(limits).at(line.number)
        elif line.data.strip():
            try:
                yield Record(line.number, parse_json(line.data, limits))
            except RowFault as fault:
                yield fault.at(line.number)
        else:
            blank.add()
