"""Whatever bytes come in: every row is read or named, or the file is refused."""

import gzip
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.dataset import BadLine
from detectors.errors import DatasetError
from detectors.reader import iter_rows, read_dataset, read_rows
from tests.detectors.written_rows import FORMATS, ROWS, Row, zstd

FAST = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
HEADS = [b"", b"[", b"PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff", b"\x1f\x8b\x08"]
HEADS += [b"\x28\xb5\x2f\xfd", b"prompt,completion\n", b'{"messages":', b"text\n"]


@FAST
@given(head=st.sampled_from(HEADS), data=st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_a_dataset_error(
    head: bytes, data: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(head + data)
    try:
        found = read_dataset(path)
    except DatasetError:
        return
    assert len(found) + found.bad_line_count > 0


@FAST
@given(
    form=st.sampled_from(sorted(FORMATS)),
    compress=st.sampled_from([bytes, gzip.compress, zstd]),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4),
    keep=st.floats(0.1, 1),
)
def test_damaged_files_raise_nothing_but_a_dataset_error(
    form: str,
    compress: Callable[[bytes], bytes],
    flips: list[tuple[float, int]],
    keep: float,
    tmp_path: Path,
) -> None:
    data = bytearray(compress(FORMATS[form](ROWS)))
    for place, value in flips:
        data[int(place * len(data))] = value
    path = tmp_path / "damaged"
    path.write_bytes(data[: max(1, int(keep * len(data)))])
    try:
        found = read_dataset(path)
    except DatasetError:
        return
    assert len(found) + found.bad_line_count > 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
    ),
    max_leaves=8,
)
shaped = st.fixed_dictionaries(
    {},
    optional={
        key: json_values
        | st.lists(st.dictionaries(st.sampled_from(names), json_values))
        for key, names in {
            "messages": ["role", "content", "weight", "tool_calls", "refusal"],
            "conversations": ["from", "value"],
            "contents": ["role", "parts"],
            "chosen": ["role", "content"],
            "input": ["messages"],
            "tools": ["type"],
            "text": ["x"],
            "images": ["path"],
        }.items()
    },
)


@FAST
@given(rows=st.lists(shaped | json_values, min_size=1, max_size=6))
def test_every_row_is_either_an_example_or_a_bad_line(rows: list[object]) -> None:
    found = read_rows(rows, name="rows")
    assert len(found) + found.bad_line_count == len(rows)
    lines = {e.origin.line for e in found} | {bad.line for bad in found.bad_lines}
    assert lines == set(range(1, len(rows) + 1))


@FAST
@given(lines=st.lists(st.binary(max_size=30), min_size=1, max_size=8))
def test_every_line_that_is_not_blank_is_accounted_for(
    lines: list[bytes], tmp_path: Path
) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b'{"text": "first"}\n' + b"\n".join(lines))
    rows = list(iter_rows(path))
    physical = b"\n".join(lines).split(b"\n")
    assert len(rows) == 1 + sum(bool(line.strip()) for line in physical)
    bad = [row.line for row in rows if isinstance(row, BadLine)]
    assert sorted(set(bad)) == bad


text = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]),
    max_size=40,
)
spoken = text.filter(lambda t: bool(t.strip()))
turn = st.fixed_dictionaries({"role": st.just("user"), "content": text})
reply = st.fixed_dictionaries({"role": st.just("assistant"), "content": spoken})
chats = st.lists(
    st.builds(
        lambda turns, last: {"messages": [*turns, last]},
        st.lists(turn | reply, max_size=3),
        reply,
    ),
    min_size=1,
    max_size=4,
)
alpacas = st.lists(
    st.fixed_dictionaries({"instruction": text, "input": text, "output": spoken}),
    min_size=1,
    max_size=4,
)


@FAST
@given(rows=chats | alpacas, form=st.sampled_from(sorted(FORMATS)))
def test_any_sound_rows_keep_their_fingerprint_through_any_format(
    rows: list[Row], form: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows"
    path.write_bytes(FORMATS[form](rows))
    found = read_dataset(path)
    expected = read_rows(rows, name="rows")
    assert not expected.bad_lines
    assert not found.bad_lines
    assert found.fingerprint == expected.fingerprint
