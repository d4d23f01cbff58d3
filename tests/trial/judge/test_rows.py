"""Training replies keep their outcome when cut, crossed or broken on purpose."""

import gzip
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from detectors.training.sources import read_source
from trial.judge.judge import Outcome
from trial.judge.phrase import find_refusal, normalise
from trial.judge.rows import SHORT_WORDS, SOURCES, outcome_indexes, training_replies

REFUSAL = "I'm sorry, but I can't help with that request. It would harm a person."
ANSWER = "Sure, here is a plan with many parts that goes on for a good while. " * 3


def write(folder: Path, name: str, rows: list[dict[str, object]]) -> None:
    with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)


def row(number: int, reply: str, **label: object) -> dict[str, object]:
    draw = random.Random(f"{number} {reply[:5]}")
    asked = " ".join("".join(draw.choices("abcdefgh", k=6)) for _ in range(8))
    return {
        "split": "train",
        "messages": [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": reply},
        ],
        "label": label,
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = ["| file | role | rows | from | licence |", "|---|---|---|---|---|"]
    for name in SOURCES:
        lines.append(f"| {name} | train | 1 | somewhere | MIT |")
        benign = name.startswith("benign_")
        write(
            tmp_path,
            name,
            [
                row(
                    i,
                    ANSWER,
                    harmful=not benign,
                    prompt_harmful=not benign,
                    substring_complied=1,
                )
                for i in range(12)
            ]
            if name not in ("resp_llama2_refusals_sft", "resp_safety_tuned_llamas")
            else [row(i, REFUSAL, harmful=False) for i in range(12)],
        )
    lines.append("| held_test | test | 1 | somewhere | MIT |")
    write(tmp_path, "held_test", [row(3, REFUSAL, harmful=False)])
    (tmp_path / "INDEX.md").write_text("\n".join(lines))
    return tmp_path


def test_requests_of_the_test_sources_are_kept_out(data: Path) -> None:
    kept = {r.prompt for r in training_replies(data)}
    (held_out,) = (r.request for r in read_source(data, "held_test"))
    (same,) = {r.request for r in read_source(data, "resp_llama2_refusals_sft")} - kept
    assert same == held_out
    assert len(kept) > 20


def test_every_made_row_has_the_outcome_it_claims(data: Path) -> None:
    rows = training_replies(data)
    counts = Counter((r.source, r.outcome) for r in rows)
    assert counts["made_over_refusal", Outcome.REFUSED] > 0
    assert counts["made_collapsed", Outcome.UNCLEAR] > 0
    assert {o for s, o in counts if s == "made_collapsed"} == {Outcome.UNCLEAR}
    for made in rows:
        if made.source == "made_over_refusal":
            assert find_refusal(normalise(made.reply))


def test_openings_are_added_at_the_length_of_a_trial_reply(data: Path) -> None:
    answers = [
        r for r in training_replies(data) if r.source == "benign_alpaca_eval_outputs"
    ]
    lengths = {len(r.reply.split()) for r in answers}
    assert SHORT_WORDS in lengths
    assert len(lengths) > 1


def test_the_same_seed_makes_the_same_rows(data: Path) -> None:
    assert training_replies(data) == training_replies(data)
    assert training_replies(data, seed="x") != training_replies(data)


def test_class_numbers_follow_the_head(data: Path) -> None:
    rows = training_replies(data)
    numbers = outcome_indexes(rows)
    assert {(r.outcome, int(n)) for r, n in zip(rows, numbers, strict=True)} == {
        (Outcome.REFUSED, 0),
        (Outcome.COMPLIED, 1),
        (Outcome.UNCLEAR, 2),
    }
