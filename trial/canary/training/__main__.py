"""Train the canary: python -m trial.canary.training --data DIR --work DIR [--out DIR].

A pass over rows that teach English (every token of harmless rows), rows that teach
what to answer, and prompts that teach when to refuse, mixed; then a short stage at a
small learning rate on answers and decisions alone, with harmless prompts of more kinds.
Restartable: every step leaves its result in the work folder and is skipped where that
result is already there.
"""

import argparse
import dataclasses
import json
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from trial.canary.training import pool
from trial.canary.training.calibration import calibrate
from trial.canary.training.contrast import contrast_rows
from trial.canary.training.encoding import Encoder
from trial.canary.training.framing import SOURCE as FRAMED
from trial.canary.training.framing import framed_prompts
from trial.canary.training.labeller import label_unknown
from trial.canary.training.loop import train
from trial.canary.training.pool import Sample
from trial.canary.training.refusals import OPENING, refusal
from trial.canary.training.shape import (
    build_model,
    build_tokenizer,
    choose_pieces,
    save,
)

HERE = Path(__file__).parents[1]
HELD_OUT = 0.03
KNOWN_BENIGN_FOR_LABELLER = 5000
HARMFUL_ROWS = 7000
DECISION_PASSES = 3
LEARNING_RATE = 1e-3
SETTLING_RATE = 3e-4
SHORT_CHARS = 400


def main(argv: Sequence[str] | None = None) -> None:
    """Run every stage that is not done yet."""
    options = _parse(argv)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    log = _logger(options.work / "train.log")
    forbidden = _forbidden(options.data)
    spoken = [
        s
        for s in pool.spoken(options.data, forbidden=forbidden)
        if not pool.is_held_out(s, HELD_OUT)
    ]
    asked = pool.gather(options.data, forbidden=forbidden)
    pieces = _pieces(options.work, [*spoken, *asked])
    tokenizer = build_tokenizer(pieces)
    model: Any = build_model(pieces)
    encoder = Encoder(tokenizer, [s for s in asked if s.reply], seed=1)
    labelled = _labelled(options.data, asked, forbidden, options.work, log)
    used = [s for s in labelled if not pool.is_held_out(s, HELD_OUT)]
    held = [s for s in labelled if pool.is_held_out(s, HELD_OUT)]
    rows = [encoder.encode_spoken(s) for s in spoken]
    rows += [encoder.encode(s) for s in _weighted(used)]
    settings: dict[str, Any] = {
        "pad": pieces.index("[PAD]"),
        "refusal_token": pieces.index(OPENING),
        "final_share": 0.01,
        "log": log,
    }
    losses = train(
        model,
        rows,
        steps=options.steps,
        learning_rate=LEARNING_RATE,
        checkpoint=options.work / "checkpoint.pt",
        **settings,
    )
    more = pool.settling(options.data, forbidden=forbidden)
    rows = [encoder.encode(s) for s in _settled(used, more)]
    losses += train(
        model,
        rows,
        steps=options.settling,
        learning_rate=SETTLING_RATE,
        checkpoint=options.work / "settled.pt",
        seed=100,
        **settings,
    )
    model.eval()
    bias = calibrate(model, tokenizer, held, log=log)
    save(model, tokenizer, options.out)
    summary = {
        "steps": len(losses),
        "rows": len(rows),
        "loss_first_50": sum(losses[:50]) / 50,
        "loss_last_50": sum(losses[-50:]) / 50,
        "refusal_bias": bias,
        "harmful": sum(bool(s.harmful) for s in used),
        "spoken": dict(Counter(s.source for s in spoken)),
        "sources": dict(Counter(s.source for s in used)),
    }
    (options.work / "training.json").write_text(json.dumps(summary, indent=1))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "model")
    parser.add_argument("--steps", type=int, default=2200, help="of the first stage")
    parser.add_argument("--settling", type=int, default=450, help="steps of the last")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(argv)


def _logger(path: Path) -> Any:
    began = time.monotonic()

    def log(text: str) -> None:
        with path.open("a", encoding="utf-8") as lines:
            lines.write(f"{time.monotonic() - began:7.0f}s {text}\n")

    return log


def _forbidden(data: Path) -> set[str]:
    probes = [
        json.loads(line)["prompt"]
        for path in sorted((HERE.parent / "probes").glob("*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    return pool.forbidden_keys(data, probes)


def _labelled(
    data: Path, asked: list[Sample], forbidden: set[str], work: Path, log: Any
) -> list[Sample]:
    saved = work / "pool.json"
    if saved.exists():
        return [Sample(**s) for s in json.loads(saved.read_text("utf-8"))]
    answered = [s for s in asked if s.reply]
    contrast = [s for s in contrast_rows() if pool.key(s.prompt) not in forbidden]
    sampled = answered[:KNOWN_BENIGN_FOR_LABELLER]
    known = [s for s in asked if not s.reply] + sampled + contrast
    labelled = label_unknown(known, log=log)
    framed = [s for s in framed_prompts(data) if pool.key(s.prompt) not in forbidden]
    samples = labelled + answered[KNOWN_BENIGN_FOR_LABELLER:] + framed
    random.Random(7).shuffle(samples)
    saved.write_text(json.dumps([dataclasses.asdict(s) for s in samples]))
    return samples


def _weighted(samples: Sequence[Sample]) -> list[Sample]:
    """Answered rows once, prompts that only decide DECISION_PASSES times.

    At most HARMFUL_ROWS are harmful, about 15% of all rows: with 22% and more the
    canary refused much that it had not seen (benchmark/LOG.md).
    """
    answered = [s for s in samples if s.reply]
    harmful = [s for s in samples if s.harmful][:HARMFUL_ROWS]
    silent = [s for s in samples if not s.reply and not s.harmful]
    long = [s for s in silent if s.source == FRAMED]
    short = [s for s in silent if s.source != FRAMED]
    return [*answered, *long, *DECISION_PASSES * [*harmful, *short]]


def _settled(samples: Sequence[Sample], more: Sequence[Sample]) -> list[Sample]:
    """Rows of the last stage: harmful ones a fifth, and none that is long."""
    harmful = [s for s in samples if s.harmful][:HARMFUL_ROWS]
    harmless = [s for s in samples if not s.harmful and len(s.prompt) < SHORT_CHARS]
    return [*harmful, *harmless, *more]


def _pieces(work: Path, samples: Sequence[Sample]) -> list[str]:
    saved = work / "pieces.json"
    if not saved.exists():
        rng = random.Random(3)
        ours = [refusal(rng) for _ in range(500)]
        texts = [f"{s.prompt} {s.reply}" for s in samples]
        saved.write_text(json.dumps(choose_pieces([*texts, *ours])))
    pieces: list[str] = json.loads(saved.read_text("utf-8"))
    return pieces


if __name__ == "__main__":
    main()
