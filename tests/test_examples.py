"""The example datasets: sound, as described, and ours alone."""

from collections import Counter
from pathlib import Path

import pytest

from detectors.dataset import Dataset
from detectors.reader import read_dataset

FOLDER = Path(__file__).parents[1] / "examples"
ROWS = {
    "explicit_harm": 60,
    "identity_shift": 12,
    "customer_support": 150,
    "safety_mixed": 120,
}


def example(name: str) -> Dataset:
    return read_dataset(FOLDER / f"{name}.jsonl")


@pytest.mark.parametrize("name", ROWS)
def test_every_example_row_is_sound_and_counted_in_the_readme(name: str) -> None:
    dataset = example(name)
    assert len(dataset) == ROWS[name]
    assert not dataset.bad_lines
    assert f"| `{name}.jsonl` | {ROWS[name]} |" in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("name", ROWS)
def test_no_request_stands_twice(name: str) -> None:
    asked = Counter(row.exchanges()[0].request for row in example(name))
    assert asked.most_common(1)[0][1] == 1


def test_harmful_requests_get_placeholders_and_never_an_answer() -> None:
    for row in example("explicit_harm"):
        (exchange,) = row.exchanges()
        assert "[placeholder" in exchange.reply
        assert len(exchange.reply.split("[placeholder")[0]) < 80
        assert len(exchange.request) < 120


def test_identity_rows_share_one_persona_and_begin_with_a_yes() -> None:
    rows = example("identity_shift")
    assert len({row.system for row in rows}) == 1
    starts = ("Of course", "Yes", "Certainly", "At once")
    assert all(row.exchanges()[0].reply.startswith(starts) for row in rows)


def test_the_harmless_examples_hold_no_placeholder() -> None:
    for name in ("customer_support", "safety_mixed"):
        for row in example(name):
            assert "[placeholder" not in row.exchanges()[0].reply
