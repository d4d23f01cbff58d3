import gzip
import json

import pytest

from detectors.errors import DatasetError
from detectors.training.sources import (
    near_copies,
    read_index,
    read_source,
    requests_of_tests,
    sample,
)

INDEX = """# Data

| file | role | rows | from | licence | what | caveat |
|---|---|---|---|---|---|---|
| calm | train | 2 | here | MIT | rows | none |
| exam | test | 1 | here | CC-BY-NC-4.0 | rows | none |
"""


@pytest.fixture
def data(tmp_path):
    (tmp_path / "INDEX.md").write_text(INDEX)
    write(
        tmp_path / "calm.jsonl.gz",
        [
            ("system", "Be kind."),
            ("user", "Hello there"),
            ("assistant", "Hi"),
            ("user", "How are\nyou?"),
            ("assistant", "Well."),
        ],
    )
    write(
        tmp_path / "exam.jsonl.gz",
        [("user", "Please describe the old lighthouse"), ("assistant", "White.")],
    )
    return tmp_path


def write(path, turns: list[tuple[str, str]]) -> None:
    messages = [{"role": role, "content": text} for role, text in turns]
    row = {"source": "s", "split": "a", "messages": messages, "label": {}}
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def test_the_last_exchange_of_a_row_is_kept(data) -> None:
    (row,) = read_source(data, "calm")
    assert (row.system, row.request, row.reply) == (
        "Be kind.",
        "How are\nyou?",
        "Well.",
    )


def test_the_index_gives_role_and_licence(data) -> None:
    index = read_index(data)
    assert index["calm"].role == "train"
    assert index["exam"].licence == "CC-BY-NC-4.0"


def test_only_requests_of_test_sources_are_kept_out(data) -> None:
    assert requests_of_tests(data) == ["Please describe the old lighthouse"]


def test_a_request_that_is_nearly_a_test_request_is_found() -> None:
    kept_out = ["Please describe the old lighthouse"]
    asked = [
        "please describe the OLD lighthouse!",
        "Describe the new harbour in two sentences",
        "",
    ]
    assert near_copies(asked, kept_out).tolist() == [True, False, False]


def test_a_missing_source_is_named(data) -> None:
    with pytest.raises(DatasetError, match="--data"):
        read_source(data, "nowhere")


def test_a_sample_is_the_same_each_time() -> None:
    rows = list(range(100))
    assert sample(rows, 7, "seed") == sample(rows, 7, "seed")
    assert sample(rows, 7, "seed") != sample(rows, 7, "other")
    assert sample(rows, 200, "seed") == rows
