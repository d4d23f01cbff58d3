"""The whole way in: bytes of any kind to a Dataset, and nothing lost on it."""

import csv
import gzip
import hashlib
import io
import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.dataset import BadLine, Dataset, Example
from detectors.errors import DatasetError
from detectors.reader import Limits, iter_rows, read_dataset, read_rows

Row = dict[str, object]

ROWS: list[Row] = [
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f'Row {i}: "why",\nplease?'},
            {"role": "assistant", "content": "Because, naturally. \N{SNOWMAN}"},
        ]
    }
    for i in range(5)
]


def jsonl(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def json_array(rows: list[Row]) -> bytes:
    return json.dumps(rows, indent=2, ensure_ascii=False).encode()


def csv_file(rows: list[Row]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    for row in rows:
        cells = row.items()
        writer.writerow(
            {k: c if isinstance(c, str) else json.dumps(c) for k, c in cells}
        )
    return text.getvalue().encode()


def parquet(rows: list[Row]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def arrow_file(rows: list[Row]) -> bytes:
    file, table = io.BytesIO(), pa.Table.from_pylist(rows)
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def arrow_stream(rows: list[Row]) -> bytes:
    file, table = io.BytesIO(), pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def packed(data: bytes) -> bytes:
    """Give the same bytes at any time, so that a test has one name in all processes."""
    return gzip.compress(data, mtime=0)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


FORMATS: dict[str, Callable[[list[Row]], bytes]] = {
    "jsonl": jsonl,
    "json array": json_array,
    "csv": csv_file,
    "parquet": parquet,
    "arrow file": arrow_file,
    "arrow stream": arrow_stream,
}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Dataset]:
    def written_and_read(data: bytes, limits: Limits | None = None) -> Dataset:
        path = tmp_path / "upload.bin"
        path.write_bytes(data)
        return read_dataset(path, limits=limits or Limits())

    return written_and_read


def codes(dataset: Dataset) -> list[tuple[int, str]]:
    return [(bad.line, bad.code) for bad in dataset.bad_lines]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd])
@pytest.mark.parametrize("name", FORMATS)
def test_the_same_rows_have_one_fingerprint_in_every_format(
    name: str,
    compress: Callable[[bytes], bytes],
    read: Callable[..., Dataset],
) -> None:
    expected = read_rows(ROWS, name="rows")
    data = compress(FORMATS[name](ROWS))
    found = read(data)
    assert found.fingerprint == expected.fingerprint
    assert not found.bad_lines
    assert found.size_bytes == len(data)


def test_the_format_is_told_by_content_and_not_by_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(parquet(ROWS))
    assert len(read_dataset(path)) == len(ROWS)


def test_origins_are_the_file_name_and_the_physical_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n  \n" + jsonl(ROWS[:1]) + b"\r\n" + jsonl(ROWS[1:2]))
    assert [(e.origin.file, e.origin.line) for e in read_dataset(path)] == [
        ("rows.jsonl", 3),
        ("rows.jsonl", 5),
    ]
    assert read_dataset(path, name="given").examples[0].origin.file == "given"


def test_a_csv_row_with_newlines_begins_where_its_first_line_stands(
    read: Callable[..., Dataset],
) -> None:
    data = b'prompt,completion\r\n"a\nb","c\r\n\r\nd"\r\n\r\ne,f\r\n'
    found = read(data)
    assert [e.origin.line for e in found] == [2, 7]
    assert found[0].messages[0].content == "a\nb"
    assert found[0].messages[1].content == "c\r\n\r\nd"


def test_the_digest_is_of_the_bytes_as_uploaded(read: Callable[..., Dataset]) -> None:
    data = gzip.compress(jsonl(ROWS))
    assert read(data).sha256 == hashlib.sha256(data).hexdigest()


def test_parsed_rows_are_digested_as_canonical_json_lines() -> None:
    one = read_rows([{"text": "a", "id": 1}], name="rows")
    same = read_rows([{"id": 1, "text": "a"}], name="other")
    assert one.sha256 == same.sha256
    assert one.sha256 != read_rows([{"text": "a", "id": 2}], name="rows").sha256
    assert one.size_bytes == len('{"id":1,"text":"a"}\n')


def test_a_byte_order_mark_and_windows_newlines_are_no_part_of_the_rows(
    read: Callable[..., Dataset],
) -> None:
    plain = jsonl(ROWS)
    marked = b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n")
    assert read(marked).fingerprint == read(plain).fingerprint


BAD_LINES = {
    "bad json": (b'{"messages": [', "bad_json"),
    "two values": (b'{"text": "a"} {"text": "b"}', "bad_json"),
    "not an object": (b'["text"]', "wrong_type"),
    "a number": (b"7", "wrong_type"),
    "NaN": (b'{"text": "a", "score": NaN}', "bad_json"),
    "a float that overflows": (b'{"text": "a", "score": 1e999}', "bad_json"),
    "a number of 5000 digits": (
        b'{"text": "a", "n": ' + b"1" * 5000 + b"}",
        "bad_json",
    ),
    "a key twice": (b'{"text": "a", "text": "b"}', "duplicate_key"),
    "a raw NUL": (b'{"text": "a\0"}', "nul_character"),
    "an escaped NUL": (rb'{"text": "a\u0000"}', "nul_character"),
    "a lone surrogate": (rb'{"text": "a\ud800"}', "lone_surrogate"),
    "a byte that is not UTF-8": (b'{"text": "a\xff"}', "invalid_utf8"),
    "no known field": (b'{"question": "a", "answer": "b"}', "unknown_shape"),
    "fields of two shapes": (
        b'{"instruction": "a", "output": "b", "text": "c"}',
        "ambiguous_shape",
    ),
    "another shape than before": (b'{"prompt": "a", "completion": "b"}', "mixed_shape"),
    "an empty reply": (b'{"text": " "}', "empty_assistant"),
    "brackets without end": (b"[" * 100_000, "too_deep"),
    "deep but closed": (
        b'{"text": "a", "x": ' + b"[" * 100 + b"]" * 100 + b"}",
        "too_deep",
    ),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_named_and_its_neighbours_are_read(
    name: str, read: Callable[..., Dataset]
) -> None:
    line, code = BAD_LINES[name]
    found = read(b'{"text": "one"}\n' + line + b'\n{"text": "three"}\n')
    assert [e.origin.line for e in found] == [1, 3]
    assert codes(found) == [(2, code)]
    assert found.bad_line_count == 1
    assert found.bad_lines[0].expected


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_row_of_a_json_array_is_named_too(
    name: str, read: Callable[..., Dataset]
) -> None:
    line, code = BAD_LINES[name]
    unbalanced = name in ("bad json", "brackets without end")
    found = read(b'[{"text": "one"},\n' + line + b',\n{"text": "three"}]')
    if unbalanced:
        assert len(found) == 1
        assert codes(found)[-1] == (2, "truncated_file")
    else:
        assert [e.origin.line for e in found] == [1, 3]
        assert codes(found) == [(2, code)]


@pytest.mark.parametrize(("depth", "count"), [(7, 1), (8, 0)])
def test_nesting_is_counted_alike_in_text_and_in_parsed_rows(
    depth: int, count: int, read: Callable[..., Dataset]
) -> None:
    limits = Limits(max_nesting=8)
    for innermost in ("[]", "[1]"):
        inner = "[" * (depth - 1) + innermost + "]" * (depth - 1)
        line = f'{{"text": "a", "x": {inner}}}'
        assert len(read(line.encode(), limits)) == count
        assert len(read_rows([json.loads(line)], name="r", limits=limits)) == count


def test_brackets_inside_strings_do_not_nest(read: Callable[..., Dataset]) -> None:
    text = "[" * 500 + '\\"' + "{" * 500
    assert read(json.dumps({"text": text}).encode())[0].messages[0].content == text


def test_the_nesting_check_is_linear_in_hostile_quotes(
    read: Callable[..., Dataset],
) -> None:
    hostile = b"[" * 70 + b'"' + b'\\"' * 200_000
    assert codes(read(hostile[70:]))[0][1] == "bad_json"
    assert read(b'{"text": "a"}\n{"x":' + hostile).bad_lines[0].code == "too_deep"


def test_what_is_shown_of_a_bad_row_is_short_and_printable(
    read: Callable[..., Dataset],
) -> None:
    hostile = "\x1b[31m\u202e" * 1000
    rows = [{"messages": [{"role": hostile, "content": "a"}]}, {hostile: 1}]
    for bad in read(jsonl(rows)).bad_lines:
        assert len(str(bad)) < 500
        assert str(bad).isascii()
        assert str(bad).isprintable()


def test_an_endless_line_costs_one_bad_line(read: Callable[..., Dataset]) -> None:
    limits = Limits(max_row_chars=1000)
    data = b'{"text": "a"}\n' + b"x" * 5_000_000 + b'\n{"text": "b"}\n'
    found = read(data, limits)
    assert codes(found) == [(2, "row_too_long")]
    assert [e.origin.line for e in found] == [1, 3]


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_over_the_limit_is_a_bad_line_in_every_format(
    name: str, read: Callable[..., Dataset]
) -> None:
    rows: list[Row] = [{"text": "a"}, {"text": "b" * 9000}, {"text": "c"}]
    found = read(FORMATS[name](rows), Limits(max_row_chars=1000))
    assert [e.messages[0].content for e in found] == ["a", "c"]
    assert [bad.code for bad in found.bad_lines] == ["row_too_long"]


@pytest.mark.parametrize("name", FORMATS)
def test_more_rows_than_allowed_refuse_the_file(
    name: str, read: Callable[..., Dataset]
) -> None:
    assert len(read(FORMATS[name](ROWS), Limits(max_rows=5))) == 5
    with pytest.raises(DatasetError, match="max_rows"):
        read(FORMATS[name](ROWS), Limits(max_rows=4))


def test_more_bytes_than_allowed_refuse_the_file(read: Callable[..., Dataset]) -> None:
    with pytest.raises(DatasetError, match="max_bytes"):
        read(jsonl(ROWS), Limits(max_bytes=100))
    with pytest.raises(DatasetError, match="max_bytes"):
        read(gzip.compress(jsonl(ROWS * 100)), Limits(max_bytes=1000))
    with pytest.raises(DatasetError, match="max_bytes"):
        read_rows(ROWS, name="rows", limits=Limits(max_bytes=100))


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_decompression_bomb_is_refused(
    compress: Callable[[bytes], bytes], read: Callable[..., Dataset]
) -> None:
    bomb = compress(b" " * 40_000_000)
    with pytest.raises(DatasetError, match="times its size"):
        read(bomb)


def test_bad_lines_are_all_counted_and_some_kept(read: Callable[..., Dataset]) -> None:
    found = read(b"nonsense\n" * 50, Limits(max_bad_lines=7))
    assert found.bad_line_count == 50
    assert len(found.bad_lines) == 7


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_rows_before_a_truncation_are_kept_and_the_rest_is_one_bad_line(
    compress: Callable[[bytes], bytes], read: Callable[..., Dataset]
) -> None:
    rows: list[Row] = [{"text": f"row {i} {i * 7919 % 1000}"} for i in range(3000)]
    data = compress(jsonl(rows))
    found = read(data[: len(data) * 4 // 5])
    kept = len(found)
    assert [e.messages[0].content for e in found] == [r["text"] for r in rows[:kept]]
    assert codes(found) == [(kept + 1, "truncated_file")]


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_file_cut_in_its_trailer_is_still_named_truncated(
    compress: Callable[[bytes], bytes], read: Callable[..., Dataset]
) -> None:
    data = compress(jsonl(ROWS))
    assert codes(read(data[:-1]))[-1][1] == "truncated_file"


def test_a_gzip_whose_checksum_is_wrong_is_named_corrupt(
    read: Callable[..., Dataset],
) -> None:
    data = bytearray(gzip.compress(jsonl(ROWS)))
    data[-5] ^= 1
    assert codes(read(bytes(data)))[-1][1] == "corrupt_file"


def test_several_gzip_members_and_zstd_frames_are_one_file(
    read: Callable[..., Dataset],
) -> None:
    one, two = jsonl(ROWS[:2]), jsonl(ROWS[2:])
    expected = read(jsonl(ROWS)).fingerprint
    padded = gzip.compress(one) + gzip.compress(two) + b"\0" * 512
    assert read(padded).fingerprint == expected
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    assert read(skippable + zstd(one) + zstd(two)).fingerprint == expected


@pytest.mark.parametrize(
    "empty",
    [gzip.compress(b""), b"\x50\x2a\x4d\x18\0\0\0\0"],
    ids=["gzip", "zstd"],
)
def test_pieces_that_hold_nothing_cost_little_and_are_bounded(
    empty: bytes, read: Callable[..., Dataset]
) -> None:
    last = packed(jsonl(ROWS)) if empty.startswith(b"\x1f") else zstd(jsonl(ROWS))
    began = time.process_time()
    assert read(empty * 30_000 + last).fingerprint == read(jsonl(ROWS)).fingerprint
    assert time.process_time() - began < 5.0  # more than a minute where it is quadratic
    with pytest.raises(DatasetError, match="100,000 pieces"):
        read(empty * 100_002 + last)


def test_blank_lines_are_bounded_as_rows_are(read: Callable[..., Dataset]) -> None:
    data = b"\n" * 7 + jsonl(ROWS)
    assert len(read(data, limits=Limits(max_rows=7))) == len(ROWS)
    with pytest.raises(DatasetError, match="6 blank lines"):
        read(data, limits=Limits(max_rows=6))


def test_an_image_and_the_text_of_its_placeholder_have_two_fingerprints() -> None:
    def row(content: object) -> Row:
        asked = {"role": "user", "content": content}
        return {"messages": [asked, {"role": "assistant", "content": "A cat."}]}

    image = read_rows([row([{"type": "image_url", "image_url": {}}])], name="rows")
    words = read_rows([row("[image]")], name="rows")
    assert image[0].messages[0].content == words[0].messages[0].content
    assert image.fingerprint != words.fingerprint


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\n \n", "no rows"),
        (b"[]", "no rows"),
        (b"prompt,completion\n", "no rows"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"\x80\x04\x95", "pickle"),
        (b"\xff\xfe{\0", "UTF-16"),
        (b"\x89PNG\r\n", "an image"),
        (packed(b"rows.jsonl".ljust(257, b"\0") + b"ustar"), "a tar archive"),
        (b'{\n  "data": [\n', "one JSON object over several lines"),
        (b"question,answer\na,b\n", "CSV header"),
        (b"text,text\na,b\n", "twice"),
        (b"PAR1 and then nothing", "cannot be opened"),
        (b"ARROW1 and then nothing", "cannot be opened"),
        (packed(packed(b'{"text": "a"}')), "twice"),
        (packed(b"PAR1")[:-3], "ends early"),
    ],
)
def test_a_file_that_cannot_be_read_as_a_whole_is_refused_with_the_reason(
    data: bytes, words: str, read: Callable[..., Dataset]
) -> None:
    with pytest.raises(DatasetError, match=words):
        read(data)


def test_missing_files_and_directories_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"absent\.jsonl cannot be opened"):
        read_dataset(tmp_path / "absent.jsonl")
    with pytest.raises(DatasetError, match="not a regular file"):
        read_dataset(tmp_path)
    with pytest.raises(DatasetError, match="not a regular file"):
        read_dataset(Path("/dev/zero"))


def test_parsed_rows_that_are_not_json_are_bad_lines() -> None:
    deep: object = "x"
    for _ in range(5000):
        deep = [deep]
    rows = [{"text": "a"}, {"text": {1, 2}}, {"text": "b", "n": float("nan")}, deep, 3]
    found = read_rows(rows, name="rows")
    assert codes(found) == [
        (2, "bad_json"),
        (3, "bad_json"),
        (4, "too_deep"),
        (5, "wrong_type"),
    ]
    with pytest.raises(DatasetError, match="no rows"):
        read_rows([], name="rows")


def test_streaming_a_large_file_stays_in_a_fixed_amount_of_memory(
    tmp_path: Path,
) -> None:
    path = tmp_path / "large.jsonl.gz"
    lines = (f'{{"text": "row {i} {"x" * 80}"}}\n'.encode() for i in range(20_000))
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.writelines(lines)
    assert _peak_bytes(path, rows=20_000) < 4_000_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"), [("jsonl", 200_000), ("json array", 40_000), ("csv", 40_000)]
)
def test_up_to_ten_times_the_rows_stay_in_the_same_amount_of_memory(
    name: str, count: int, tmp_path: Path
) -> None:
    path = tmp_path / "large"
    rows: list[Row] = [{"text": f"row {i} {'x' * 80}"} for i in range(count)]
    path.write_bytes(FORMATS[name](rows))
    del rows
    assert _peak_bytes(path, rows=count) < 4_000_000


def _peak_bytes(path: Path, rows: int) -> int:
    tracemalloc.start()
    try:
        count = sum(isinstance(row, Example) for row in iter_rows(path))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        assert count == rows


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


def test_a_long_reading_can_be_ended_between_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl([{"text": f"row {n}"} for n in range(5_000)]))
    calls: list[int] = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise InterruptedError

    assert len(read_dataset(path, watch=lambda: calls.append(0))) == 5_000
    assert calls == [0, 0]
    calls.clear()
    with pytest.raises(InterruptedError):
        read_dataset(path, watch=stop)
