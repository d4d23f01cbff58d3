"""Bytes of any format become one Dataset, or the file is refused with the reason."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.dataset import Dataset
from detectors.errors import DatasetError
from detectors.reader import read_dataset, read_rows
from tests.detectors.written_rows import (
    FORMATS,
    ROWS,
    Row,
    codes,
    jsonl,
    packed,
    parquet,
    zstd,
)


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
